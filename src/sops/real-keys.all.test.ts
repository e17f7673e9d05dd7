/** Master keys against the real `sops`, both ways: PGP by gpg, ssh, AWS KMS and GCP KMS on loopback, Vault's transit by a real OpenBao, and groups of several kinds. */
import assert from 'node:assert/strict'
import { randomBytes, generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { build, cacheFolder, type Build } from '../../test/cluster/builds.ts'
import { awsService, gcpService, type KeyService } from '../../test/fakes/key-services.ts'
import { baoProgram, lacksBao } from '../../test/openbao.ts'
import { minimalEnv, ProgramError, run, runToEnd, start } from '../lib/process.ts'
import { ownKeys } from '../secrets/keyring.ts'
import type { Keys, MasterKey } from './data-key.ts'
import { formatOf } from './format-of.ts'
import { namesOf } from './keys/key-names.ts'
import { DEFAULT_SELECTOR } from './selector.ts'
import { decryptFile, encryptFile } from './sops-file.ts'

const SOPS: Build = {
  module: 'sops',
  programs: { sops: 'github.com/getsops/sops/v3/cmd/sops' },
  versionOf: 'github.com/getsops/sops/v3',
  isStatic: false,
}
const PLAIN = 'a: one\nb:\n    - 2\n    - true\n# note\nc: two words\n'
const DOCUMENTS = 12

async function lacks(...programs: readonly string[]): Promise<string | false> {
  for (const program of programs) {
    try {
      await runToEnd(
        program,
        program === 'go' ? ['version'] : program === 'ssh-keygen' ? ['-?'] : ['--version'],
      )
    } catch (error) {
      if (error instanceof ProgramError) return `needs ${program}`
      throw error
    }
  }
  return false
}

const LACKS = {
  go: await lacks('go'),
  gpg: await lacks('gpg'),
  sshKeygen: await lacks('ssh-keygen'),
  bao: (await lacksBao()) || (await lacks('gpg')),
}

describe('master keys and the real sops', { skip: LACKS.go, timeout: 900_000 }, () => {
  let folder = ''
  let program = ''
  let env: Record<string, string> = {}
  let keys: Keys
  const services: KeyService[] = []
  const children: Awaited<ReturnType<typeof start>>[] = []

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fairway-keys-'))
    const built = await build(SOPS, cacheFolder(process.env), (line) => console.log(line))
    program = join(built.folder, 'sops')
    await mkdir(join(folder, 'gnupg'), { mode: 0o700 })
    env = {
      ...minimalEnv(),
      HOME: folder,
      XDG_CONFIG_HOME: folder,
      GNUPGHOME: join(folder, 'gnupg'),
    }
    keys = ownKeys({ env, home: folder, fetch, now: Date.now })
  })
  after(async () => {
    for (const child of children) child.kill('SIGKILL')
    for (const service of services) await service.close()
    await runToEnd('gpgconf', ['--kill', 'all'], { env }).catch(() => undefined)
    await rm(folder, { recursive: true, force: true })
  })

  /** Ours is opened by theirs, theirs by ours, for documents of their own. */
  async function bothWays(groups: readonly (readonly MasterKey[])[], threshold = 0): Promise<void> {
    const format = formatOf('x.yaml')
    const sources = { now: Date.now, random: randomBytes, keys }
    const rule = { groups, threshold, selector: DEFAULT_SELECTOR, macOnlyEncrypted: false }
    for (let index = 0; index < DOCUMENTS; index++) {
      const plain = `${PLAIN}n${index}: v${randomBytes(index).toString('hex')}\n`
      const path = join(folder, `${randomBytes(5).toString('hex')}.yaml`)
      await writeFile(path, await encryptFile(format, plain, rule, sources))
      assert.equal((await decryptFile(format, await readFile(path, 'utf8'), keys)).text, plain)
      assert.equal(await run(program, ['decrypt', path], { env, cwd: folder }), plain)
      await run(program, ['rotate', '--in-place', path], { env, cwd: folder })
      assert.equal((await decryptFile(format, await readFile(path, 'utf8'), keys)).text, plain)
    }
  }

  const key = (type: MasterKey['type'], id: string, more: MasterKey['names'] = {}): MasterKey => ({
    type,
    id,
    names: { ...namesOf(type, id), ...more },
  })

  async function pgpKey(): Promise<MasterKey> {
    const user = `${randomBytes(4).toString('hex')}@example.com`
    const args = ['--batch', '--passphrase', '', '--quick-generate-key', user]
    await run('gpg', [...args, 'default', 'default', 'never'], { env })
    const list = await run('gpg', ['--list-secret-keys', '--with-colons', user], { env })
    return key('pgp', /^fpr:+([0-9A-F]{40}):/m.exec(list)?.[1] ?? '')
  }

  async function ageKey(): Promise<MasterKey> {
    const identity = await generateX25519Identity()
    await mkdir(join(folder, 'sops', 'age'), { recursive: true })
    await writeFile(join(folder, 'sops', 'age', 'keys.txt'), identity)
    return key('age', await identityToRecipient(identity))
  }

  test('PGP', { skip: LACKS.gpg }, async () => {
    await bothWays([[await pgpKey()]])
  })

  for (const [type, bits] of [
    ['ed25519', '256'],
    ['rsa', '2048'],
  ] as const) {
    test(`age with ssh-${type}`, { skip: LACKS.sshKeygen }, async () => {
      await mkdir(join(folder, '.ssh'), { recursive: true })
      const path = join(folder, '.ssh', `id_${type}`)
      await run('ssh-keygen', ['-q', '-t', type, '-b', bits, '-N', '', '-C', '', '-f', path], {
        env,
      })
      await bothWays([[key('age', (await readFile(`${path}.pub`, 'utf8')).trim())]])
    })
  }

  test('AWS KMS, with context and through a role', async () => {
    const service = awsService(new Map([['AKIDOWN', { secret: 'own/secret', token: null }]]))
    services.push(service)
    Object.assign(env, { AWS_ENDPOINT_URL: await service.start(), AWS_ACCESS_KEY_ID: 'AKIDOWN' })
    Object.assign(env, { AWS_SECRET_ACCESS_KEY: 'own/secret', AWS_EC2_METADATA_DISABLED: 'true' })
    const arn = 'arn:aws:kms:eu-west-1:123456789012:key/0123abcd-0000-0000-0000-000000000000'
    await bothWays([[key('kms', arn, { context: { app: 'shop' } })]])
    await bothWays([[key('kms', `${arn}+arn:aws:iam::123456789012:role/reader`)]])
  })

  test('GCP KMS', async () => {
    const { publicKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    const service = gcpService(() => ({ publicKey, email: 'x@example.com' }))
    services.push(service)
    Object.assign(env, {
      SOPS_GCP_KMS_ENDPOINT: await service.start(),
      SOPS_GCP_KMS_CLIENT_TYPE: 'rest',
    })
    Object.assign(env, { GOOGLE_OAUTH_ACCESS_TOKEN: 'given-by-environment' })
    await bothWays([[key('gcp_kms', 'projects/a/locations/global/keyRings/b/cryptoKeys/c')]])
  })

  test('transit of OpenBao, and groups of three kinds', { skip: LACKS.bao }, async () => {
    const address = await startBao()
    Object.assign(env, { VAULT_ADDR: address, VAULT_TOKEN: 'root' })
    const bao = (path: string, body: object): Promise<Response> =>
      fetch(`${address}/v1/${path}`, {
        method: 'POST',
        headers: { 'x-vault-token': 'root' },
        body: JSON.stringify(body),
      })
    assert.ok((await bao('sys/mounts/team/transit', { type: 'transit' })).ok)
    assert.ok((await bao('team/transit/keys/shop', {})).ok)
    const vault = key('hc_vault', `${address}/v1/team/transit/keys/shop`)
    await bothWays([[vault]])
    await bothWays([[vault], [await ageKey()], [await pgpKey()]], 2)
  })

  async function startBao(): Promise<string> {
    const bin = await baoProgram(folder)
    const port = await freePort()
    const address = `http://127.0.0.1:${String(port)}`
    const child = await start(
      bin,
      [
        'server',
        '-dev',
        '-dev-no-store-token',
        '-dev-root-token-id=root',
        `-dev-listen-address=127.0.0.1:${String(port)}`,
      ],
      { env, stdio: 'ignore' },
    )
    children.push(child)
    for (;;) {
      const isUp = await fetch(`${address}/v1/sys/health`).then(
        ({ ok }) => ok,
        () => false,
      )
      if (isUp) return address
      assert.equal(child.exitCode, null, 'OpenBao ended')
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}
