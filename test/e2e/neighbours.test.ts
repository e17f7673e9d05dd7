import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { runFolder } from '../../src/container/container-host.ts'
import { folderSize } from '../../src/lib/folder-size.ts'
import { listPids, readProc } from '../../src/lib/process-identity.ts'
import { containersWork } from '../containers-work.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually, ProbeApp } from './probe-app.ts'

const skip = await containersWork()
const PIDS = 60
const MEMORY_MIB = 128

describe('a bad neighbour, runner container', { skip, timeout: 300_000 }, () => {
  let platform: PrivatePlatform
  let good: ProbeApp
  let bad: ProbeApp
  let calm: Latency
  before(async () => {
    platform = await startPrivatePlatform({ runner: 'container', subnet: '10.222.32.0/20' })
    good = await ProbeApp.create(platform, 'good')
    bad = await ProbeApp.create(platform, 'bad', {
      processes: {
        web: {
          command: 'node server.js',
          resources: { cpu: 0.5, memory: `${String(MEMORY_MIB)}Mi`, pids: PIDS },
          health: { ready: '/healthz' },
        },
      },
    })
    await Promise.all([good.deploy(), bad.deploy()])
    calm = await latencyOf(good, 1_500)
  })
  after(async () => {
    await platform.destroy()
    await Promise.all([good.remove(), bad.remove()])
  })

  // Generous: what is checked is that nobody starves, not how fast this machine is today, nor what else it does meanwhile.
  const assertServed = (during: Latency, what: string): void => {
    assert.ok(during.count > 10, `${what}: only ${String(during.count)} requests`)
    assert.ok(during.p50 < 20 + calm.p50 * 10, `${what}: p50 ${shown(calm)} -> ${shown(during)}`)
    assert.ok(during.p99 < 400 + calm.p99 * 10, `${what}: p99 ${shown(calm)} -> ${shown(during)}`)
  }
  const isWell = async (): Promise<boolean> => {
    const { instances } = await bad.status()
    return instances.length === 1 && instances[0]?.state === 'ready'
  }

  test('a fork bomb stays within its processes and takes nobody along', async (context) => {
    await bad.get('/fork-bomb')
    const during = await latencyOf(good, 2_500)
    context.diagnostic(`${shown(calm)} -> ${shown(during)}`)
    assertServed(during, 'fork bomb')
    await eventually(async () => (await bombs()) > 5)
    const most = await bombs()
    assert.ok(most < PIDS, `${String(most)} processes`)
    await platform.must(['status'])
    await platform.must(['scale', 'web=0', '--app', 'bad'])
    await eventually(async () => (await bad.status()).instances.length === 0)
    await platform.must(['scale', 'web=1', '--app', 'bad'])
    await eventually(isWell)
  })

  test('a memory hog is ended at its limit, says so, and comes back', async (context) => {
    await bad.get('/eat-memory')
    const during = await latencyOf(good, 1_500)
    context.diagnostic(`${shown(calm)} -> ${shown(during)}`)
    assertServed(during, 'memory hog')
    const why = `out of memory (limit ${String(MEMORY_MIB)} MiB)`
    await eventually(async () => (await platform.must(['ps', '--app', 'bad'])).includes(why))
    await eventually(isWell)
    assert.ok((await platform.must(['logs', '--app', 'bad'])).includes(why))
    assert.equal((await bad.status()).instances[0]?.reason, `restarted after ${why}`)
  })

  test('a disk filler meets the end of its own disk', async () => {
    const before = await onDisk(platform)
    const said = await bad.get('/fill-disk?megabytes=4096')
    assert.match(said, /^ENOSPC after \d+ MiB$/)
    const grown = (await onDisk(platform)) - before
    assert.ok(
      grown < 300 << 20,
      `the disk of the host is as it was, but for ${String(grown)} bytes`,
    )
    await eventually(isWell)
  })

  test('a flood of log lines is rotated and takes nobody along', async (context) => {
    await bad.get('/flood-log?seconds=3')
    const during = await latencyOf(good, 3_000)
    context.diagnostic(`${shown(calm)} -> ${shown(during)}`)
    assertServed(during, 'log flood')
    const bytes = await folderSize(`${platform.dataDir}/logs/bad`)
    context.diagnostic(`${String(bytes >> 20)} MiB of logs`)
    assert.ok(bytes < 100 << 20, `logs take ${String(bytes >> 20)} MiB`)
    await eventually(isWell)
  })
})

/** How many processes of this machine are what the bomb of test/apps/probe starts, wherever they are. */
async function bombs(): Promise<number> {
  const commands = await Promise.all((await listPids()).map((pid) => readProc(pid, 'cmdline')))
  return commands.filter((command) => command?.includes('setInterval(() => {}, 9)')).length
}

/** Bytes that the platform has written: what else the machine writes meanwhile is not its own. */
async function onDisk({ dataDir }: PrivatePlatform): Promise<number> {
  return (await folderSize(dataDir)) + (await folderSize(runFolder(dataDir)))
}

interface Latency {
  readonly count: number
  readonly p50: number
  readonly p99: number
}

/** Milliseconds of requests that begin every 10 ms, whatever the answers do. Fails with the first request that fails. */
async function latencyOf(app: ProbeApp, durationMs: number): Promise<Latency> {
  const requests: Promise<number>[] = []
  const timed = async (): Promise<number> => {
    const begun = performance.now()
    await app.get('/healthz')
    return performance.now() - begun
  }
  const timer = setInterval(() => {
    const request = timed()
    request.catch(() => undefined)
    requests.push(request)
  }, 10)
  await new Promise((done) => setTimeout(done, durationMs))
  clearInterval(timer)
  const times = (await Promise.all(requests)).sort((a, b) => a - b)
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? 0
  return { count: times.length, p50: at(0.5), p99: at(0.99) }
}

function shown({ p50, p99 }: Latency): string {
  return `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`
}
