/** The program as its image has it, with nothing else of ours, beside the real authority behind a real certificate; who asks is said by the test. */
import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { MemoryAudit } from '../../test/fakes/memory-audit.ts'
import { refOf, releaseOf, specOf } from '../../test/store-suite.ts'
import { answerIdentity } from '../api/instance-identity.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { minimalEnv, start } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceClaim } from '../model/instance-secrets.ts'
import { SECRETS_SERVER_NAME } from '../model/instance-secrets.ts'
import { parseProcessName } from '../model/names.ts'
import { TargetIdentities } from '../reconcile/target-identities.ts'
import { LocalAuthority } from '../router/local-authority.ts'
import { openSqliteStore } from '../store/sqlite-store.ts'
import { Authority } from '../workload/authority.ts'
import { InstanceSigner } from '../workload/instance-signer.ts'
import { HELPER_PACKAGE, HELPER_SOURCES } from './helper-files.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const SVID_MS = 5_000
const SHOP = refOf('shop')
const WEB = parseProcessName('web')
const { image } = releaseOf(SHOP)
const spec = specOf(SHOP)
const [process_] = Object.values(spec.processes)
assert.ok(process_)
/** A run: what it may have is said by what it was asked for with. */
const CLAIM: InstanceClaim = {
  ref: SHOP,
  process: WEB,
  release: 1,
  instance: 'web-1',
  run: {
    ref: SHOP,
    spec: { ...spec, processes: { [WEB]: { ...process_, identity: true } } },
    process: WEB,
    release: 1,
    image,
    argv: [],
    env: {},
    timeoutMs: 1,
    key: 'run',
  },
}

interface Bed {
  readonly folder: string
  readonly authority: Authority
  /** Number of questions so far. */
  readonly asked: () => number
  /** What the cluster says of the token from now on. */
  /** What the server says from now on, whatever it is asked. */
  readonly answer: (given: object) => void
  readonly refuse: (error: FairwayError | null) => void
  readonly start: (program?: 'identity-keeper' | 'identity-ready') => Promise<Running>
}

interface Running {
  readonly child: Awaited<ReturnType<typeof start>>
  readonly said: () => string
}

async function openBed(context: TestContext): Promise<Bed> {
  const home = await mkdtemp(join(tmpdir(), 'fairway-keeper-'))
  for (const path of HELPER_SOURCES) {
    await mkdir(join(home, 'app', dirname(path)), { recursive: true })
    await copyFile(join(ROOT, path), join(home, 'app', path))
  }
  await writeFile(join(home, 'app/package.json'), HELPER_PACKAGE)
  await writeFile(join(home, 'token'), 'the-token\n')
  const folder = join(home, 'identity')
  await mkdir(folder)
  const vault = { load: () => Promise.resolve(null), save: () => Promise.resolve() }
  const authority = new Authority({
    trustDomain: 'example.org',
    vault,
    clock: systemClock,
    log: silentLog,
    times: { svidMs: SVID_MS, rootMs: 86_400_000 },
  })
  const store = await openSqliteStore({ path: join(home, 'fairway.db'), clock: systemClock })
  let refusal: FairwayError | null = null
  let asked = 0
  const identities = new TargetIdentities({
    instances: () =>
      Promise.resolve({
        isMeant: () => true,
        identify: () => {
          asked += 1
          return refusal === null ? Promise.resolve(CLAIM) : Promise.reject(refusal)
        },
      }),
    signer: new InstanceSigner(authority, systemClock),
    audit: new MemoryAudit(),
    store,
  })
  const tls = await LocalAuthority.open(join(home, 'ca'), Date.now)
  let answer: object | null = null
  const server = createServer(await tls.files(SECRETS_SERVER_NAME), (request, response) => {
    if (answer !== null) {
      asked += 1
      request.resume()
      response.end(JSON.stringify(answer))
      return
    }
    answerIdentity(request, response, identities).catch((error: unknown) => {
      const status = error instanceof FairwayError ? error.status : 500
      response.writeHead(status).end(JSON.stringify({ message: String(error) }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const children: Running['child'][] = []
  context.after(async () => {
    for (const child of children) child.kill('SIGKILL')
    server.closeAllConnections()
    server.close()
    await store.close()
    await rm(home, { recursive: true, force: true })
  })
  return {
    folder,
    authority,
    asked: () => asked,
    answer: (given) => {
      answer = given
    },
    refuse: (error) => {
      refusal = error
    },
    start: async (program = 'identity-keeper') => {
      const child = await start(process.execPath, [join(home, `app/src/bin/${program}.ts`)], {
        env: {
          ...minimalEnv(),
          FAIRWAY_IDENTITY: folder,
          FAIRWAY_IDENTITY_CA: tls.certificatePem,
          FAIRWAY_IDENTITY_TOKEN: join(home, 'token'),
          FAIRWAY_IDENTITY_URL: `https://127.0.0.1:${String(port)}/clusters/prod/instance-identity`,
        },
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      children.push(child)
      let said = ''
      child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()))
      return { child, said: () => said }
    },
  }
}

async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 30_000
  while (!(await holds().catch(() => false))) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`)
    await sleep(20)
  }
}

async function serialIn(folder: string): Promise<string> {
  return new X509Certificate(await readFile(join(folder, 'svid.pem'))).serialNumber
}

test('a certificate for a key of its own, as files and at a socket, and another pair in time', async (context) => {
  const bed = await openBed(context)
  const probe = await bed.start('identity-ready')
  const { child } = await bed.start()
  assert.deepEqual(await once(probe.child, 'exit'), [0, null])
  assert.ok((await stat(join(bed.folder, 'workload.sock'))).isSocket())
  const read = (name: string) => readFile(join(bed.folder, name), 'utf8')
  assert.equal((await stat(join(bed.folder, 'svid_key.pem'))).mode & 0o777, 0o400)
  const pair = await read('svid_with_key.pem')
  const certificate = new X509Certificate(pair)
  assert.equal(certificate.subjectAltName, 'URI:spiffe://example.org/production/shop/web')
  assert.ok(certificate.checkPrivateKey(createPrivateKey(pair)))
  assert.equal(await read('bundle.pem'), `${(await bed.authority.bundle()).roots[0]?.trim()}\n`)
  const before = await serialIn(bed.folder)
  await bed.authority.rotate()
  // A certificate that was on its way meanwhile is new too, and came without the second root.
  const count = async () => (await read('bundle.pem')).split('BEGIN CERTIFICATE').length - 1
  await eventually('both roots', async () => (await count()) === 2)
  assert.notEqual(await serialIn(bed.folder), before)
  const next = await read('svid_with_key.pem')
  assert.ok(new X509Certificate(next).checkPrivateKey(createPrivateKey(next)))
  assert.notEqual(createPrivateKey(next).export({ type: 'pkcs8', format: 'pem' }), pair)
  assert.equal(await count(), 2)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('refused at first it ends with the server’s words; once the app runs it goes on whatever it is told', async (context) => {
  const bed = await openBed(context)
  const refusal = new FairwayError('FORBIDDEN', 'the pod is none of this server’s')
  bed.refuse(refusal)
  const early = await bed.start()
  // All of its words are here once its output is closed, which may be after its end.
  assert.deepEqual(await once(early.child, 'close'), [1, null])
  assert.match(early.said().trim().split('\n').at(-1) ?? '', /^refused: .*none of this server’s/)

  bed.refuse(null)
  const { child, said } = await bed.start()
  await eventually('the socket', async () =>
    (await stat(join(bed.folder, 'workload.sock'))).isSocket(),
  )
  bed.refuse(refusal)
  await eventually('it is refused', () => Promise.resolve(said().includes('waits for the server')))
  const [asked, before] = [bed.asked(), await serialIn(bed.folder)]
  await eventually('it asks again', () => Promise.resolve(bed.asked() > asked + 1))
  assert.equal(await serialIn(bed.folder), before, 'what is there stays')
  bed.refuse(null)
  await eventually('a new one', async () => (await serialIn(bed.folder)) !== before)

  // The container dies, the pod does not: its next life does not take the identity away.
  child.kill('SIGKILL')
  await once(child, 'exit')
  bed.refuse(refusal)
  const [again, kept] = [bed.asked(), await serialIn(bed.folder)]
  const later = await bed.start()
  await eventually('it asks', () => Promise.resolve(bed.asked() >= again + 2))
  assert.equal(later.child.exitCode, null)
  assert.equal(await serialIn(bed.folder), kept)
})

test('an answer that would not serve the app is not put in its place, and is asked for again with pauses', async (context) => {
  const bed = await openBed(context)
  bed.answer({
    ...{ id: 'spiffe://example.org/a/b/c', certificate: 'AAAA', lifeMs: 0 },
    ...{ trustDomain: 'example.org', roots: ['x'], jwtBundle: '{}' },
  })
  const began = performance.now()
  const { child, said } = await bed.start()
  await eventually('it asks again', () => Promise.resolve(bed.asked() >= 4))
  assert.ok(performance.now() - began > 800, 'with pauses')
  assert.match(said(), /waits for the server: the answer holds no certificate/)
  assert.equal(child.exitCode, null)
  await assert.rejects(stat(join(bed.folder, 'svid.pem')), { code: 'ENOENT' })
})
