/** Two real instances prove to each other who they are, with each runner. */
import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  containerProblem,
  containerRunner,
  makeContainerHarness,
} from '../../test/container-harness.ts'
import { eventually, runIn, sampleSpec } from '../../test/runner-suite.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { minimalEnv, runToEnd } from '../lib/process.ts'
import type { Clock } from '../model/clock.ts'
import type { FoundInstance, InstanceSpec } from '../model/instance.ts'
import { parseProcessName } from '../model/names.ts'
import type { ImageFacts } from '../model/release.ts'
import type { Runner } from '../model/runner.ts'
import { ProcessRunner } from '../process/process-runner.ts'
import { Authority } from './authority.ts'
import { identityFolder } from './holder.ts'
import { IdentifiedRunner } from './identified-runner.ts'

const SVID_MS = 16_000
const APP = await readFile(join(import.meta.dirname, '../../test/apps/identity/app.js'), 'utf8')
/** As if the app were a file: its arguments begin at the third. */
const PROGRAM = `process.argv.splice(1, 0, 'app.js')\n${APP}`

interface Bed {
  readonly image: ImageFacts
  /** Not open yet; each call is another life of the server over the same data. */
  runner(): Promise<Runner>
  leftovers(): Promise<readonly string[]>
  close(): Promise<void>
}

function authorityOf(trustDomain: string, clock: Clock, vault = memoryVault()): Authority {
  const times = { svidMs: SVID_MS, rootMs: 86_400_000 }
  return new Authority({ trustDomain, vault, clock, log: silentLog, times })
}

function memoryVault() {
  let text: string | null = null
  return {
    load: () => Promise.resolve(text),
    save: (next: string) => {
      text = next
      return Promise.resolve()
    },
  }
}

async function processBed(): Promise<Bed> {
  const folder = await mkdtemp(join(tmpdir(), 'fw-id-'))
  await mkdir(join(folder, 'rootfs'))
  const image = {
    flavour: 'host',
    command: [],
    env: {},
    workingDir: '/',
    user: '',
    port: null,
  } as const
  return {
    image: { ...image, digest: `sha256:${'0'.repeat(64)}`, sizeBytes: 0 },
    runner: () =>
      Promise.resolve(
        new ProcessRunner({
          dataDir: join(folder, 'data'),
          logDir: join(folder, 'logs'),
          rootfs: () => Promise.resolve(join(folder, 'rootfs')),
          clock: systemClock,
          log: silentLog,
        }),
      ),
    leftovers: () => Promise.resolve([]),
    close: () => rm(folder, { recursive: true, force: true }),
  }
}

async function containerBed(): Promise<Bed> {
  const harness = await makeContainerHarness('')
  // It is open: what is tested opens one itself.
  await harness.runner.close()
  return {
    image: harness.image,
    runner: () => containerRunner(harness.folder),
    leftovers: () => harness.leftovers(),
    close: () => harness.close(),
  }
}

const problem = await containerProblem()
suite('runner process', process.platform === 'linux' ? false : 'needs Linux', processBed)
suite('runner container', problem ?? false, containerBed)

function suite(name: string, skip: string | false, make: () => Promise<Bed>): void {
  describe(`identities with ${name}`, { skip }, () => {
    const vault = memoryVault()
    let bed: Bed
    let runner: IdentifiedRunner
    let authority: Authority
    let server: FoundInstance
    let client: FoundInstance
    let other: FoundInstance
    const idOf = (process: string) => `spiffe://example.org/production/sample/${process}`

    async function open(): Promise<void> {
      authority = authorityOf('example.org', systemClock, vault)
      const inner = await bed.runner()
      const rest = { authority, clock: systemClock, log: silentLog, svidMs: SVID_MS }
      runner = new IdentifiedRunner({ runner: inner, ...rest })
      await authority.open()
      await runner.open()
    }

    const specOf = (process: string, argv: readonly string[], listens = false): InstanceSpec => ({
      ...sampleSpec(bed.image, argv, { listens }),
      process: parseProcessName(process),
    })

    async function folderOf({ spec }: FoundInstance): Promise<string> {
      const path = await runner.privatePath(spec.id, 'identity')
      assert.ok(path !== null)
      return path
    }

    /** Between containers nothing is let through but what the router carries: there the client's files speak from the host. */
    async function call(folder: string, peer: string): Promise<string> {
      const { address } = server
      assert.ok(address !== null)
      const args = ['-e', PROGRAM, 'call', String(address.port), idOf(peer), address.host]
      const env = { ...minimalEnv(), FAIRWAY_IDENTITY: folder }
      const { stdout, stderr } = await runToEnd(process.execPath, args, { env, timeoutMs: 30_000 })
      return stdout + stderr
    }

    const serialIn = async (found: FoundInstance): Promise<string> =>
      new X509Certificate(await readFile(join(await folderOf(found), 'svid.pem'))).serialNumber

    before(async () => {
      bed = await make()
      await open()
      const serve = ['node', '-e', PROGRAM, 'serve', idOf('client')]
      server = await runner.start(specOf('server', serve, true))
      client = await runner.start(specOf('client', ['sleep', '1000']))
      other = await runner.start(specOf('other', ['sleep', '1000']))
    })
    after(async () => {
      for (const { spec } of await runner.list()) await runner.remove(spec.id)
      await runner.close()
      await bed.close()
    })

    test('certificate, key and bundle belong together, and the variables lead to them', async () => {
      const folder = await folderOf(client)
      const read = (file: string) => readFile(join(folder, file))
      const certificate = new X509Certificate(await read('svid.pem'))
      assert.equal(certificate.subjectAltName, `URI:${idOf('client')}`)
      assert.ok(certificate.checkPrivateKey(createPrivateKey(await read('svid_key.pem'))))
      const both = await read('svid_with_key.pem')
      assert.equal(new X509Certificate(both).serialNumber, certificate.serialNumber)
      assert.ok(certificate.checkPrivateKey(createPrivateKey(both)))
      const [root] = String(await read('bundle.pem')).split(/(?<=-----END CERTIFICATE-----)/)
      assert.ok(certificate.verify(new X509Certificate(root ?? '').publicKey))
      const show = 'process.stdout.write(process.env.SPIFFE_ENDPOINT_SOCKET)'
      const { stdout } = await runIn(runner, client.spec.id, ['node', '-e', show])
      assert.match(stdout, /^unix:\/\/\/.*\/workload\.sock$/)
      assert.ok((await stat(join(folder, 'workload.sock'))).isSocket())
      assert.equal((await stat(folder)).mode & 0o777, 0o700)
    })

    test('the app inside can connect to its socket', async () => {
      const connect = `require('net').connect(process.env.SPIFFE_ENDPOINT_SOCKET.slice(7))
        .on('connect', () => { console.log('connected'); process.exit() }).on('error', (e) => { console.log(e.message) })`
      const { stdout } = await runIn(runner, client.spec.id, ['node', '-e', connect])
      assert.equal(stdout.trim(), 'connected')
    })

    test('mutual TLS with the peer that is meant', async () => {
      const said = await eventually(
        async () => {
          const text = await call(await folderOf(client), 'server')
          return text.includes('ECONNREFUSED') ? null : text
        },
        'the server answers',
        30_000,
      )
      assert.match(said, /welcome/)
      assert.match(said, new RegExp(`URI:${idOf('server')}`))
    })

    test('and with nobody else', async () => {
      assert.match(await call(await folderOf(client), 'other'), /is not spiffe:.*other/)
      assert.match(await call(await folderOf(other), 'server'), /go away/)
      const folder = await mkdtemp(join(tmpdir(), 'fw-foreign-'))
      try {
        for (const trustDomain of ['example.org', 'other.org']) {
          const from = authorityOf(trustDomain, systemClock)
          const id = { trustDomain, path: '/production/sample/client' }
          const files = identityFolder(await from.x509Svid(id), await from.bundle())
          for (const [file, value] of files.files)
            await writeFile(join(folder, file), value.reveal(), { mode: 0o600 })
          assert.match(await call(folder, 'server'), /refused/)
        }
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    })

    test('a running instance gets a new certificate before the old one ends, and serves it', async () => {
      const before = await serialIn(server)
      await eventually(async () => (await serialIn(server)) !== before, 'it is new', 60_000)
      const fresh = await serialIn(server)
      await eventually(
        async () => (await call(await folderOf(client), 'server')).includes(fresh),
        'it is served',
        30_000,
      )
    })

    test('the next server goes on for what still runs', async () => {
      const before = await serialIn(server)
      await runner.close()
      await open()
      assert.notEqual(await serialIn(server), before)
      await eventually(
        async () => (await call(await folderOf(client), 'server')).includes('welcome'),
        'it is served',
        30_000,
      )
      assert.ok((await stat(join(await folderOf(client), 'workload.sock'))).isSocket())
    })

    test('a new root is in the bundle of what runs, and nothing breaks', async () => {
      const ahead = specOf('ahead', ['sleep', '1000'])
      await runner.prepare(ahead)
      await authority.rotate()
      const bundle = join(await folderOf(server), 'bundle.pem')
      await eventually(
        async () => (await readFile(bundle, 'utf8')).split('BEGIN CERTIFICATE').length === 3,
        'both roots are there',
        30_000,
      )
      assert.match(await call(await folderOf(client), 'server'), /welcome/)
      const folder = await folderOf(await runner.start(ahead))
      const read = (file: string) => readFile(join(folder, file), 'utf8')
      assert.equal((await read('bundle.pem')).split('BEGIN CERTIFICATE').length, 3)
      const certificate = new X509Certificate(await read('svid.pem'))
      assert.equal(certificate.subjectAltName, `URI:${idOf('ahead')}`)
      assert.ok(certificate.checkPrivateKey(createPrivateKey(await read('svid_key.pem'))))
    })

    test('a replaced root reaches what runs with certificates that it signed', async () => {
      const before = await serialIn(server)
      await authority.replace()
      await eventually(
        async () => (await serialIn(server)) !== before,
        'a new certificate is there',
        30_000,
      )
      await eventually(
        async () => (await call(await folderOf(client), 'server')).includes('welcome'),
        'both trust the new root',
        30_000,
      )
      const bundle = await readFile(join(await folderOf(client), 'bundle.pem'), 'utf8')
      assert.equal(bundle.split('BEGIN CERTIFICATE').length, 2)
    })

    test('what begins while the root is replaced does not keep the old one', async () => {
      const spec = specOf('late', ['sleep', '1000'])
      await runner.prepare(spec)
      const late = await runner.start(spec, async () => {
        await authority.replace()
      })
      const [root = ''] = (await authority.bundle()).roots
      const read = async (file: string) => readFile(join(await folderOf(late), file), 'utf8')
      assert.equal((await read('bundle.pem')).trim(), root.trim())
      const { publicKey } = new X509Certificate(root)
      assert.ok(new X509Certificate(await read('svid.pem')).verify(publicKey))
    })

    test('nothing is left when they are gone', async () => {
      const folders = [await folderOf(server), await folderOf(client)]
      for (const { spec } of await runner.list()) await runner.remove(spec.id)
      for (const folder of folders) await assert.rejects(stat(folder), { code: 'ENOENT' })
      assert.deepEqual(await bed.leftovers(), [])
    })
  })
}
