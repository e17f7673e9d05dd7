import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fetchText, startLoad } from '../../bench/load.ts'
import { identify } from '../../src/lib/process-identity.ts'
import { minimalEnv, start } from '../../src/lib/process.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually } from './probe-app.ts'

/** Speaks on the control socket as far as the routers before this one did. */
const OLDER = `const { createServer } = require('node:http')
const address = { host: '127.0.0.1', port: 1 }
createServer((request, response) => {
  const known = request.url === '/status'
  response.writeHead(known ? 200 : 404, { 'content-type': 'application/json' })
  response.end(JSON.stringify(known
    ? { pid: process.pid, startedAt: 1, revision: null, connections: 0, inflight: 0, memoryBytes: 0,
        addresses: { http: address, https: null, internal: null, dns: null, control: process.argv[1] } }
    : { code: 'NOT_FOUND', message: 'the router has no operation' }))
}).listen(process.argv[1], () => console.log('listens'))`

const TRAFFIC = resolve(import.meta.dirname, '../../bench/apps/traffic')

describe('the platform is replaced under way', { timeout: 400_000 }, () => {
  let platform: PrivatePlatform
  let folder: string
  before(async () => {
    platform = await startPrivatePlatform({ runner: 'process' })
    folder = await mkdtemp(join(tmpdir(), 'fairway-traffic-'))
    await cp(TRAFFIC, folder, { recursive: true })
    await platform.must(['deploy', folder, '--app', 'traffic'])
  })
  after(async () => {
    await platform.destroy()
    await rm(folder, { recursive: true, force: true })
  })

  const pidOf = async (program: string): Promise<number> => {
    const text = await readFile(join(platform.dataDir, `programs/${program}.pid`), 'utf8')
    return (JSON.parse(text) as { pid: number }).pid
  }
  const load = (): ReturnType<typeof startLoad> =>
    startLoad({ port: platform.httpPort, host: 'traffic.localhost', rate: 150 })

  test('`up --restart` and a deploy right after it: a new router, a new server, a new version, and no request is lost', async () => {
    const before = await Promise.all(['router', 'server'].map(pidOf))
    const sending = load()
    for (let round = 0; round < 3; round++) {
      const said = await platform.must(['up', '--restart', '--json'])
      assert.deepEqual((JSON.parse(said) as { started: unknown }).started, ['router', 'server'])
      // The old router still holds connections now, which must not lead to the version before.
      await writeFile(join(folder, 'version.js'), `export const version = '${String(round)}'\n`)
      await platform.must(['deploy', folder, '--app', 'traffic'])
    }
    const report = await sending.stop()
    assert.deepEqual(report.failures, [])
    assert.ok(report.sent > 100, `only ${String(report.sent)} requests`)
    const now = await Promise.all(['router', 'server'].map(pidOf))
    for (const [index, pid] of now.entries()) assert.notEqual(pid, before[index])
    await eventually(() => Promise.resolve(before.every(isGone)))
    assert.match(await platform.must(['ps']), /traffic/)
  })

  test('a router is replaced while clients connect anew without a pause, and each is answered', async () => {
    const clients = connectAnew({ port: platform.httpPort, host: 'traffic.localhost', clients: 24 })
    for (let round = 0; round < 4; round++) {
      const before = await pidOf('router')
      await platform.must(['up', '--restart'])
      assert.notEqual(await pidOf('router'), before)
    }
    const { answered, failures } = await clients.stop()
    assert.deepEqual(failures, [])
    assert.ok(answered > 1000, `only ${String(answered)} connections`)
  })

  test('`up` replaces what runs from another version, and nothing else', async () => {
    assert.match(await platform.must(['up', '--json']), /"started":\[\]/)
    const file = join(platform.dataDir, 'programs/router.pid')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace(/"version":"[^"]*"/, '"version":"0.0.1"'))
    const old = await pidOf('router')
    assert.match(await platform.must(['up', '--json']), /"started":\["router"\]/)
    assert.notEqual(await pidOf('router'), old)
  })

  test('a router of a version that cannot start another one is ended, then followed', async () => {
    const router = await pidOf('router')
    process.kill(router, 'SIGTERM')
    await eventually(() => Promise.resolve(isGone(router)))
    const older = await startOlderRouter(platform.dataDir)
    try {
      assert.match(await platform.must(['up', '--restart']), /router replaced/)
      assert.notEqual(await pidOf('router'), older.pid)
      assert.match(await getTraffic(platform.httpPort), /^ok/)
    } finally {
      await older.end()
    }
  })

  test('`down --keep-router`: requests go on without a server, and a deploy works once it is back', async () => {
    const sending = load()
    await platform.must(['down', '--keep-router'])
    assert.equal((await platform.fairway(['ps'])).code, 8)
    await new Promise((done) => setTimeout(done, 300))
    await platform.must(['up'])
    await writeFile(join(folder, 'version.js'), "export const version = 'next'\n")
    await platform.must(['deploy', folder, '--app', 'traffic'])
    const report = await sending.stop()
    assert.deepEqual(report.failures, [])
    assert.ok(report.sent > 100, `only ${String(report.sent)} requests`)
  })
})

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}

interface Connecting {
  readonly port: number
  readonly host: string
  /** How many ask at once, each on a connection of its own for every request. */
  readonly clients: number
}

/** Closed-loop clients that never reuse a connection: at any moment some are waiting to be accepted. */
function connectAnew({ port, host, clients }: Connecting): {
  stop(): Promise<{ readonly answered: number; readonly failures: readonly string[] }>
} {
  const failures: string[] = []
  let answered = 0
  let stopped = false
  const ask = async (): Promise<void> => {
    while (!stopped) {
      try {
        await fetchText({ port, host, path: '/', agent: false, body: null })
        answered += 1
      } catch (error) {
        failures.push(String(error))
      }
    }
  }
  const asking = Array.from({ length: clients }, ask)
  return {
    stop: async () => {
      stopped = true
      await Promise.all(asking)
      return { answered, failures }
    },
  }
}

async function startOlderRouter(
  dataDir: string,
): Promise<{ pid: number; end: () => Promise<unknown> }> {
  const socket = join(dataDir, 'router/control.sock')
  await rm(socket, { force: true })
  const env = { ...minimalEnv(), FAIRWAY_DATA_DIR: dataDir }
  const child = await start(process.execPath, ['-e', OLDER, socket], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((done) => child.once('exit', done))
  await new Promise((done) => child.stdout?.once('data', done))
  const identity = await identify(child.pid ?? 0)
  const record = { ...identity, urls: ['http://localhost:1'], runner: null, version: '0.0.1' }
  await writeFile(join(dataDir, 'programs/router.pid'), JSON.stringify(record))
  const end = (): Promise<unknown> => {
    child.kill('SIGKILL')
    return ended
  }
  return { pid: child.pid ?? 0, end }
}

function getTraffic(port: number): Promise<string> {
  return fetchText({ port, host: 'traffic.localhost', path: '/', agent: false, body: null })
}
