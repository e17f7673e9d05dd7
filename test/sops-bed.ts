import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { stringify } from 'yaml'
import { minimalEnv, ProgramError, run, runToEnd } from '../src/lib/process.ts'
import { ownKeys } from '../src/secrets/keyring.ts'
import type { Keys } from '../src/sops/data-key.ts'
import type { FormatName } from '../src/sops/document.ts'
import { AzureCloud } from './azure-cloud.ts'
import { build, BUILDS, cacheFolder } from './cluster/builds.ts'
import { awsService, gcpService, type KeyService } from './fakes/key-services.ts'
import { lacksBao, OpenBao } from './openbao.ts'

export const ENDINGS: Readonly<Record<FormatName, string>> = {
  yaml: 'yaml',
  json: 'json',
  dotenv: 'env',
  ini: 'ini',
  binary: 'bin',
}

/** Who reads the files of a test: what `.sops.yaml` says, and what a machine needs to run it. */
export const KEY_SETS = [
  ['age', []],
  ['age, post-quantum', []],
  ['ssh-ed25519', ['ssh-keygen']],
  ['ssh-rsa', ['ssh-keygen']],
  ['PGP', ['gpg']],
  ['AWS KMS with a context', []],
  ['AWS KMS through a role', []],
  ['GCP KMS', []],
  ['Azure Key Vault', []],
  ['Vault’s transit', ['bao']],
  ['several kinds, any of them', []],
  ['two of three groups of several kinds', ['gpg', 'bao']],
  ['all of two groups', []],
] as const satisfies readonly (readonly [string, readonly Needed[]])[]
export type KeySetName = (typeof KEY_SETS)[number][0]

const NEEDED = { go: ['version'], gpg: ['--version'], 'ssh-keygen': ['-?'] } as const
type Needed = keyof typeof NEEDED | 'bao'

/** Why these are not here; false where they are. */
export async function lacks(...needed: readonly Needed[]): Promise<string | false> {
  for (const name of needed) {
    const reason = name === 'bao' ? await lacksBao() : await lacksProgram(name)
    if (reason !== false) return reason
  }
  return false
}

async function lacksProgram(name: keyof typeof NEEDED): Promise<string | false> {
  try {
    await runToEnd(name, NEEDED[name])
    return false
  } catch (error) {
    if (error instanceof ProgramError) return `needs ${name}`
    throw error
  }
}

/** The real `sops`, keys of all kinds that both programs find, and the services that keep some of them: OpenBao, and clouds on loopback. */
export class SopsBed {
  readonly folder: string
  readonly env: Record<string, string>
  /** The same keys for ours. */
  readonly keys: Keys
  readonly #azure: AzureCloud
  readonly #services: KeyService[] = []
  readonly #rules = new Map<string, string>()
  #program = ''
  #bao: OpenBao | null = null

  private constructor(folder: string, azure: AzureCloud) {
    this.folder = folder
    this.#azure = azure
    this.env = {
      ...minimalEnv(),
      ...{ HOME: folder, XDG_CONFIG_HOME: folder, GNUPGHOME: join(folder, 'gnupg') },
      ...azure.env,
    }
    this.keys = ownKeys({
      ...{ env: this.env, home: folder, now: Date.now },
      fetch: (url, init) => azure.fetch(url, init),
    })
  }

  static async open(): Promise<SopsBed> {
    const folder = await mkdtemp(join(tmpdir(), 'fairway-sops-'))
    const bed = new SopsBed(folder, await AzureCloud.open(join(folder, 'azure')))
    try {
      const built = await build(BUILDS.sops, cacheFolder(process.env), (line) => console.log(line))
      bed.#program = join(built.folder, 'sops')
      await mkdir(join(folder, 'gnupg'), { mode: 0o700 })
      await bed.#makeKeys()
      return bed
    } catch (error) {
      await bed.close()
      throw error
    }
  }

  /** The text of a `.sops.yaml` with one rule for all files. */
  rules(name: KeySetName): string {
    const rules = this.#rules.get(name)
    assert.ok(rules !== undefined, name)
    return rules
  }

  /** @param env beside the keys of the bed */
  sops(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
    return run(this.#program, args, {
      env: { ...this.env, ...env },
      cwd: this.folder,
      maxOutput: 1 << 26,
    })
  }

  /** What the real one makes of a document. @param options of the older form of its command, which has more of them */
  async encrypted(name: FormatName, plain: string, options: readonly string[]): Promise<string> {
    const path = await this.file(name, plain)
    await this.sops([...options, '--encrypt', '--in-place', path])
    return this.read(name, path)
  }

  async encryptedBy(set: KeySetName, name: FormatName, plain: string): Promise<string> {
    const config = join(this.folder, `${randomBytes(6).toString('hex')}.yaml`)
    await writeFile(config, this.rules(set))
    return this.encrypted(name, plain, ['--config', config])
  }

  async opened(name: FormatName, text: string, env?: Record<string, string>): Promise<string> {
    const path = await this.file(name, text)
    await this.sops(['decrypt', '--in-place', path], env)
    return this.read(name, path)
  }

  /** The same document by the real one under a new data key, for the same readers. */
  async rotated(name: FormatName, text: string): Promise<string> {
    const path = await this.file(name, text)
    await this.sops(['rotate', '--in-place', path])
    return this.read(name, path)
  }

  async file(name: FormatName, content: string): Promise<string> {
    const path = join(this.folder, `${randomBytes(6).toString('hex')}.${ENDINGS[name]}`)
    await writeFile(path, content, name === 'binary' ? 'latin1' : 'utf8')
    return path
  }

  read(name: FormatName, path: string): Promise<string> {
    return readFile(path, name === 'binary' ? 'latin1' : 'utf8')
  }

  async close(): Promise<void> {
    await this.#bao?.kill()
    await this.#azure.close()
    for (const service of this.#services) await service.close()
    await runToEnd('gpgconf', ['--kill', 'all'], { env: this.env }).catch(() => undefined)
    await rm(this.folder, { recursive: true, force: true })
  }

  // Private

  async #makeKeys(): Promise<void> {
    const age = await this.#ageKeys()
    const [aws, gcp] = await this.#clouds()
    const azure = { vaultUrl: 'https://team.vault.azure.net', key: 'sops', version: '' }
    const role = { ...aws, role: 'arn:aws:iam::123456789012:role/reader' }
    const context = { ...aws, context: { app: 'shop', for: 'a test' } }
    this.#set('age', { age: age.classic })
    this.#set('age, post-quantum', { age: age.hybrid })
    this.#set('AWS KMS with a context', { key_groups: [{ kms: [context] }] })
    this.#set('AWS KMS through a role', { kms: `${role.arn}+${role.role}` })
    this.#set('GCP KMS', { gcp_kms: gcp })
    this.#set('Azure Key Vault', { azure_keyvault: `${azure.vaultUrl}/keys/${azure.key}` })
    const several = { kms: [context], gcp_kms: [{ resource_id: gcp }], azure_keyvault: [azure] }
    this.#set('several kinds, any of them', { key_groups: [{ ...several, age: [age.hybrid] }] })
    this.#set('all of two groups', {
      key_groups: [{ kms: [role], age: [age.hybrid] }, { gcp_kms: [{ resource_id: gcp }] }],
    })
    if ((await lacks('ssh-keygen')) === false) {
      this.#set('ssh-ed25519', { age: await this.#sshKey('ed25519', '256') })
      this.#set('ssh-rsa', { age: await this.#sshKey('rsa', '2048') })
    }
    const pgp = (await lacks('gpg')) === false ? await this.#pgpKey() : null
    const vault = (await lacks('bao')) === false ? await this.#vaultKey() : null
    if (pgp !== null) this.#set('PGP', { pgp })
    if (vault !== null) this.#set('Vault’s transit', { hc_vault_transit_uri: vault })
    if (pgp !== null && vault !== null)
      this.#set('two of three groups of several kinds', {
        key_groups: [{ hc_vault: [vault] }, { pgp: [pgp] }, { age: [age.classic] }],
        shamir_threshold: 2,
      })
  }

  #set(name: KeySetName, rule: object): void {
    this.#rules.set(name, stringify({ creation_rules: [rule] }))
  }

  async #ageKeys(): Promise<{ readonly classic: string; readonly hybrid: string }> {
    const identities = [await generateX25519Identity(), await generateHybridIdentity()]
    await mkdir(join(this.folder, 'sops', 'age'), { recursive: true })
    await writeFile(join(this.folder, 'sops', 'age', 'keys.txt'), identities.join('\n'))
    const [classic = '', hybrid = ''] = await Promise.all(identities.map(identityToRecipient))
    return { classic, hybrid }
  }

  async #sshKey(type: string, bits: string): Promise<string> {
    await mkdir(join(this.folder, '.ssh'), { recursive: true })
    const path = join(this.folder, '.ssh', `id_${type}`)
    const options = ['-q', '-t', type, '-b', bits, '-N', '', '-C', '', '-f', path]
    await run('ssh-keygen', options, { env: this.env })
    return (await readFile(`${path}.pub`, 'utf8')).trim()
  }

  async #pgpKey(): Promise<string> {
    const args = ['--batch', '--passphrase', '', '--quick-generate-key', 'a@example.com']
    await run('gpg', [...args, 'default', 'default', 'never'], { env: this.env })
    const list = await run('gpg', ['--list-secret-keys', '--with-colons'], { env: this.env })
    return /^fpr:+([0-9A-F]{40}):/m.exec(list)?.[1] ?? ''
  }

  async #clouds(): Promise<readonly [aws: { readonly arn: string }, gcp: string]> {
    const aws = awsService(new Map([['AKIDOWN', { secret: 'own/secret', token: null }]]))
    const gcp = gcpService(() => ({ publicKey: '', email: 'x@example.com' }))
    this.#services.push(aws, gcp)
    Object.assign(this.env, {
      AWS_ENDPOINT_URL: await aws.start(),
      AWS_ACCESS_KEY_ID: 'AKIDOWN',
      AWS_SECRET_ACCESS_KEY: 'own/secret',
      AWS_EC2_METADATA_DISABLED: 'true',
      SOPS_GCP_KMS_ENDPOINT: await gcp.start(),
      SOPS_GCP_KMS_CLIENT_TYPE: 'rest',
      GOOGLE_OAUTH_ACCESS_TOKEN: 'given-by-environment',
    })
    const key = 'key/0123abcd-0000-0000-0000-000000000000'
    const resource = 'projects/a/locations/global/keyRings/b/cryptoKeys/c'
    return [{ arn: `arn:aws:kms:eu-west-1:123456789012:${key}` }, resource]
  }

  async #vaultKey(): Promise<string> {
    this.#bao = await OpenBao.open(join(this.folder, 'bao'))
    await this.#bao.call('POST', 'sys/mounts/team/transit', { type: 'transit' })
    await this.#bao.call('POST', 'team/transit/keys/shop', {})
    const { address, rootToken } = this.#bao
    Object.assign(this.env, { VAULT_ADDR: address, VAULT_TOKEN: rootToken })
    return `${address}/v1/team/transit/keys/shop`
  }
}
