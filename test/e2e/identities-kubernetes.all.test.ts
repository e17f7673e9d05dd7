/** Pods of a real cluster prove to each other who they are: real server, tokens, certificates and kubelet; go-spiffe as the client; then everybody who may not. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { identityPath } from '../../src/model/instance-identity.ts'
import { secretsPath } from '../../src/model/instance-secrets.ts'
import { parseTargetName } from '../../src/model/names.ts'
import { build, BUILDS, cacheFolder } from '../cluster/builds.ts'
import { filesWith } from '../planted.ts'
import {
  lacksClusterBed,
  startClusterPlatform,
  TARGET,
  type ClusterPlatform,
} from './cluster-bed.ts'
import { killServer } from './kill-server.ts'
import { askDoor, audienceOf, podToken } from './pod-tokens.ts'
import { eventually } from './probe-app.ts'

const skip = await lacksClusterBed()
const PROD = parseTargetName(TARGET)
const APP = join(import.meta.dirname, '../apps/identity/app.js')
const NAMESPACE = 'who--production'
const ID = 'spiffe://example.org/production/who'
const SMALL = 'resources: { cpu: 0.2, memory: 64Mi }, shutdown: { drain: 1s, stop: 2s }'
const WAIT = `node -e "setInterval(() => {}, 1e6); process.on('SIGTERM', () => process.exit(0))"`

const APP_FILE = `version: 1
name: who
release: { command: node named.js }
processes:
  web: { command: node app.js serve ${ID}/client, identity: true, ${SMALL}, health: { start: 60s } }
  client: { command: '${WAIT.replaceAll("'", "''")}', identity: true, ${SMALL}, health: { start: 60s } }
  other: { command: '${WAIT.replaceAll("'", "''")}', identity: true, scale: { min: 0, max: 1 }, ${SMALL} }
  bare: { command: '${WAIT.replaceAll("'", "''")}', ${SMALL} }
environments: { production: { target: ${TARGET} } }
`
/** Fails where it has no certificate of its process. */
const NAMED = `const { readFileSync } = require('fs'), { X509Certificate } = require('crypto')
const { subject, subjectAltName } = new X509Certificate(readFileSync(process.env.FAIRWAY_IDENTITY + '/svid.pem'))
console.log(subjectAltName)`
/** Kills what keeps the identity of the pod that it runs in, as the kernel would where memory is short. */
const KILL = `const fs = require('fs')
for (const pid of fs.readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)))
  try { if (fs.readFileSync('/proc/' + pid + '/cmdline', 'utf8').includes('identity-keeper')) process.kill(Number(pid), 'SIGKILL') } catch {}`

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string }
  readonly status: {
    readonly containerStatuses: readonly { readonly restartCount: number }[]
    readonly initContainerStatuses?: readonly { readonly restartCount: number }[]
  }
}

describe('identities on a real cluster', { skip, timeout: 1_500_000 }, () => {
  let bed: ClusterPlatform
  let home = ''
  let folder = ''

  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'fairway-who-'))
    folder = join(home, 'who')
    await mkdir(folder)
    await copyFile(APP, join(folder, 'app.js'))
    await writeFile(join(folder, 'named.js'), NAMED)
    await writeFile(join(folder, 'kill.js'), KILL)
    await writeFile(join(folder, 'package.json'), '{"name":"who","version":"1.0.0"}')
    await writeFile(join(folder, 'fairway.yaml'), APP_FILE)
    const client = await build(BUILDS.spiffe, cacheFolder(process.env), () => undefined)
    await copyFile(join(client.folder, 'spiffe-client'), join(folder, 'spiffe-client'))
    await chmod(join(folder, 'spiffe-client'), 0o755)
    bed = await startClusterPlatform({
      subnet: '10.235.19.0/24',
      access: true,
      env: { FAIRWAY_TRUST_DOMAIN: 'example.org' },
    })
  })
  after(async () => {
    await bed.cluster.tryKubectl(['delete', 'namespace', NAMESPACE, '--wait=false'])
    await bed.destroy()
    await rm(home, { recursive: true, force: true })
  })

  const fairway = (...args: readonly string[]) => bed.platform.fairway(args, { cwd: folder })
  const must = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await fairway(...args)
    assert.equal(code, 0, `${args.join(' ')}\n${stdout}\n${stderr}`)
    return `${stdout}${stderr}`
  }
  const runIn = (process: string, ...argv: readonly string[]) =>
    fairway('run', '--process', process, '--', ...argv)
  const call = async (process: string, peer = `${ID}/web`): Promise<string> =>
    (await runIn(process, 'node', 'app.js', 'call', '80', peer, 'web')).stdout
  const podOf = async (process: string): Promise<Pod> => {
    const query = ['get', 'pods', '-n', NAMESPACE, '-o', 'json', '-l']
    const labels = `fairway/kind=service,fairway/process=${process}`
    const { items } = JSON.parse(await bed.cluster.kubectl([...query, labels])) as { items: Pod[] }
    const [pod] = items
    assert.ok(pod, `no pod of ${process}`)
    return pod
  }
  /** In the app's own container of the running copy. */
  const execIn = async (process: string, ...argv: readonly string[]): Promise<string> => {
    const { name } = (await podOf(process)).metadata
    return bed.cluster.kubectl(['exec', name, '-n', NAMESPACE, '-c', 'app', '--', ...argv])
  }
  const serialIn = (process: string): Promise<string> =>
    execIn(
      process,
      'node',
      '-e',
      `console.log(new (require('crypto').X509Certificate)(require('fs').readFileSync('/run/identity/svid.pem')).serialNumber)`,
    )

  test('copies, the release command and runs have one each, and know each other by it', async () => {
    assert.match(await must('plan'), /web: .*identity/)
    const deployed = await must('deploy')
    assert.match(deployed, new RegExp(`URI:${ID}/`), 'the release command has one')
    // The nodes hear of a new Service a moment after its copies are ready.
    await eventually(async () => (await call('client')).includes('"said":"welcome"'))
    assert.match(await call('other'), /"said":"go away"/)
    assert.match(await call('client', `${ID}/other`), /refused.*is not/)
    const { stdout, stderr } = await runIn('bare', 'node', 'named.js')
    assert.doesNotMatch(stdout, /URI:/)
    assert.match(stderr + stdout, /undefined\/svid\.pem/)
    assert.match(await must('identity', 'status'), /example\.org/)
  })

  test('go-spiffe is served by the helper as by the server of a machine', async () => {
    const said = await execIn('client', '/app/spiffe-client', 'fetch', 'api')
    assert.deepEqual(JSON.parse(said), {
      id: `${ID}/client`,
      chain: 1,
      roots: 1,
      jwt: `${ID}/client`,
      jwtKeys: 1,
      validated: `${ID}/client`,
      otherAudience: false,
    })
  })

  test('a helper that dies comes back with another certificate, and the app beside it never stops', async () => {
    const before = await serialIn('web')
    await execIn('web', 'node', 'kill.js')
    await eventually(async () => (await serialIn('web')) !== before, { withinMs: 60_000 })
    // The kubelet tells of it later.
    const restarts = async (): Promise<string> => {
      const { containerStatuses, initContainerStatuses = [] } = (await podOf('web')).status
      return `${String(containerStatuses[0]?.restartCount)} ${String(initContainerStatuses[0]?.restartCount)}`
    }
    await eventually(async () => (await restarts()) !== '0 0', { withinMs: 60_000 })
    assert.equal(await restarts(), '0 1')
    await eventually(async () => (await call('client')).includes('welcome'), { withinMs: 60_000 })
  })

  test('while the server is away who has one is served, who begins waits and says for what', async () => {
    const [{ metadata: old }, running] = [await podOf('bare'), await podOf('client')]
    assert.ok(old.name)
    await killServer(bed.platform)
    const call = ['node', '/app/app.js', 'call', '80', `${ID}/web`, 'web']
    assert.match(await execIn('client', ...call), /"said":"welcome"/)
    const gone = running.metadata.name
    await bed.cluster.kubectl(['delete', 'pod', gone, '-n', NAMESPACE, '--now'])
    await eventually(
      async () => {
        const { name } = (await podOf('client')).metadata
        if (name === gone) return false
        const log = ['logs', name, '-n', NAMESPACE, '-c', 'identity']
        return (await bed.cluster.kubectl(log)).includes('waits for the server')
      },
      { withinMs: 60_000 },
    )
    await must('up')
    await eventually(async () => (await execIn('client', ...call)).includes('welcome'), {
      withinMs: 60_000,
    })
  })

  test('a root that was stolen is replaced, and who asks anew has the new one', async () => {
    await must('identity', 'replace', '--yes')
    for (const process of ['web', 'client']) {
      const before = await serialIn(process)
      await execIn(process, 'node', 'kill.js')
      await eventually(async () => (await serialIn(process)) !== before, { withinMs: 60_000 })
    }
    await eventually(async () => (await call('client')).includes('welcome'), { withinMs: 60_000 })
    const said = await execIn('client', '/app/spiffe-client', 'fetch', 'api')
    assert.match(said, /"roots":1/)
  })

  test('whoever is no pod of a process that asks for one is refused, and nobody is given another’s', async () => {
    const { cluster } = bed
    const [identity, values] = [
      await audienceOf(bed, NAMESPACE, 'identity'),
      'of-nobody.prod.secrets.fairway.internal',
    ]
    const [web, bare] = [(await podOf('web')).metadata, (await podOf('bare')).metadata]
    const token = (of: object) => podToken(cluster, { in: NAMESPACE, audience: identity, ...of })
    const ask = (given: string, body = question(given)) =>
      askDoor(bed, identityPath(PROD), given, body)
    const refused = async (given: string, status: number, words: RegExp, body?: string) => {
      const got = await ask(given, body)
      assert.equal(got.status, status, got.text)
      assert.match(got.text, words)
    }
    await refused(await token({ pod: bare, account: 'bare' }), 404, /asks for no identity/)
    await refused(await token({ pod: web, audience: values }), 401, /none for this server/)
    await refused(await token({}), 403, /bound to no pod/)
    await refused('a.b.c', 401, /none for this server/)
    const good = await token({ pod: web })
    await refused(good, 400, /no P-256 key of the instance/, question('another token'))
    await refused(good, 400, /no question/, '{"publicKey":"x"}')
    await refused(good, 400, /no question/, JSON.stringify({ audience: [] }))
    await refused(good, 413, /too large/, JSON.stringify({ x: 'x'.repeat(100_000) }))
    // A token for identities opens no values.
    assert.equal((await askDoor(bed, secretsPath(PROD), good)).status, 401)
    const { status, text } = await ask(good)
    assert.equal(status, 200)
    assert.match(text, /"id":"spiffe:\/\/example\.org\/production\/who\/web"/)
    const audit = await must('audit', '--json', '-n', '200')
    assert.match(
      audit,
      /"action":"identity:issued"[^\n]*"outcome":"denied"|"outcome":"denied"[^\n]*identity:issued/,
    )
  })

  test('no key is in any object, in what etcd wrote, or in clear on a disk of the server', async () => {
    const key = await execIn(
      'web',
      'node',
      '-e',
      `console.log(require('fs').readFileSync('/run/identity/svid_key.pem', 'utf8').split('\\n')[1])`,
    )
    assert.equal(key.trim().length, 64)
    assert.deepEqual(await filesWith([...bed.lab.written, bed.platform.dataDir], [key.trim()]), [])
    assert.deepEqual(await filesWith([bed.platform.dataDir], ['"jwtKey":']), [])
  })

  test('an export says that nobody would give one there', async () => {
    const { code, stderr } = await fairway('export', '--target', TARGET)
    assert.notEqual(code, 0)
    assert.match(stderr, /identity/)
  })
})

/** For a certificate, with a key that whoever shows this token holds. */
function question(token: string): string {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const proof = sign('sha256', Buffer.from(token), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return JSON.stringify({
    publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    proof: proof.toString('base64'),
  })
}
