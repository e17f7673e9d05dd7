import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { PROCESS_DEFAULTS, type ProcessSpec } from '../model/app-spec.ts'
import type { DesiredApp } from '../model/engine.ts'
import type { ExitFacts, FoundInstance, InstanceSpec } from '../model/instance.ts'
import type { LogReader } from '../model/logs.ts'
import { parseAppName, parseEnvironmentName, parseProcessName } from '../model/names.ts'
import type { Runner } from '../model/runner.ts'
import type { RouteTable, Traffic } from '../model/traffic.ts'
import { eventually } from '../../test/fakes/router-bed.ts'
import { MachineEngine } from './engine.ts'
import { noSecrets } from '../../test/fakes/no-secrets.ts'
import { watchInstance, type WatchEvent } from './instance-watch.ts'

const HOUR = 3_600_000
const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
const worker = parseProcessName('worker')
const process: ProcessSpec = {
  name: worker,
  type: 'worker',
  command: ['work'],
  env: {},
  port: null,
  routes: [],
  health: { ready: null, live: null, startMs: 1500, intervalMs: 50, timeoutMs: 500, failures: 3 },
  shutdown: { signal: 'SIGTERM', drainMs: 1000, stopMs: 1000 },
  resources: { cpu: 1, memory: 64 << 20, pids: 10 },
  scale: { min: 1, max: 1 },
  strategy: 'rolling',
  maxAgeMs: null,
  ...PROCESS_DEFAULTS,
}
const image = {
  digest: `sha256:${'0'.repeat(64)}`,
  flavour: 'host',
  command: [],
  env: {},
  workingDir: '/',
  user: '',
  port: null,
  sizeBytes: 0,
} as const
const track = { name: 'stable', release: 1, spec: process, image, env: {} } as const
const desired: DesiredApp = {
  ref,
  target: null,
  workloads: [{ process: worker, spec: process, tracks: [{ ...track, replicas: 1, weight: 100 }] }],
}

const nothing = (): Promise<void> => Promise.resolve()

/** Instances are records; they end when the test says so. */
class RecordRunner implements Runner {
  readonly name = 'process'
  readonly isolates = false
  readonly flavour = 'host'
  readonly found = new Map<string, FoundInstance>()
  readonly #exits = new Map<string, PromiseWithResolvers<ExitFacts>>()
  starts = 0
  readonly open = nothing
  readonly close = nothing
  readonly stop = nothing

  start(spec: InstanceSpec): Promise<FoundInstance> {
    this.starts += 1
    const startedAt = spec.createdAt
    const instance = { spec, state: 'running', address: null, source: null, startedAt } as const
    this.found.set(spec.id, { ...instance, exit: null })
    this.#exits.set(spec.id, Promise.withResolvers<ExitFacts>())
    return Promise.resolve({ ...instance, exit: null })
  }
  prepare(): Promise<null> {
    return Promise.resolve(null)
  }
  crashAll(): void {
    for (const { resolve } of this.#exits.values())
      resolve({ code: 3, signal: null, reason: 'exited', at: 0 })
  }
  waitForExit(id: string): Promise<ExitFacts | null> {
    return this.#exits.get(id)?.promise ?? Promise.resolve(null)
  }
  list(): Promise<readonly FoundInstance[]> {
    return Promise.resolve([...this.found.values()])
  }
  remove(id: string): Promise<void> {
    this.found.delete(id)
    return nothing()
  }
  exec(): Promise<never> {
    return Promise.reject(new Error('not here'))
  }
  readonly place = nothing
  readonly signal = nothing
  privatePath(): Promise<null> {
    return Promise.resolve(null)
  }
  usage(): Promise<null> {
    return Promise.resolve(null)
  }
  listeningPorts(): Promise<readonly number[]> {
    return Promise.resolve([])
  }
}

class NoTraffic implements Traffic {
  #table: RouteTable | null = null
  publish(table: RouteTable): Promise<void> {
    this.#table = table
    return nothing()
  }
  current(): Promise<RouteTable | null> {
    return Promise.resolve(this.#table)
  }
  drain(): Promise<{ cut: number }> {
    return Promise.resolve({ cut: 0 })
  }
  load(): Promise<readonly never[]> {
    return Promise.resolve([])
  }
}

const noLogs: LogReader = {
  read: async function* () {
    await nothing()
  },
  tail: () => Promise.resolve([]),
  note: nothing,
  collect: () => Promise.resolve(0),
  deleteApp: nothing,
}

for (const jumpMs of [-HOUR, HOUR]) {
  test(`a wall clock that is set by ${String(jumpMs)} ms changes nothing about the pause after a crash`, async () => {
    let jump = 0
    const runner = new RecordRunner()
    const clock = { ...systemClock, now: () => Date.now() + jump }
    const engine = new MachineEngine({
      runner,
      traffic: new NoTraffic(),
      secrets: noSecrets,
      logs: noLogs,
      clock,
      log: silentLog,
      randomId: () => String(runner.starts),
    })
    await engine.apply(desired)
    await engine.open()
    try {
      await eventually(() => runner.starts === 1)
      runner.crashAll()
      await eventually(() => runner.starts === 2)
      const crashed = performance.now()
      runner.crashAll()
      await eventually(() =>
        engine.actual(ref).instances.some(({ reason }) => /after 0\.5 s/.test(reason)),
      )
      jump = jumpMs
      // Some event makes it look again before the pause is over.
      await engine.apply({ ...desired })
      await eventually(() => runner.starts === 3)
      const pauseMs = performance.now() - crashed
      assert.ok(pauseMs >= 450 && pauseMs < 5000, String(pauseMs))
    } finally {
      await engine.close()
    }
  })
}

test('a wall clock that is set forward makes no start late, one that is set back no start endless', async () => {
  for (const [jumpMs, least] of [
    [HOUR, 1400],
    [-HOUR, 1400],
  ] as const) {
    let jump = 0
    const events: WatchEvent[] = []
    const stop = new AbortController()
    const began = performance.now()
    const late = Promise.withResolvers<undefined>()
    const watching = watchInstance(
      {
        spec: {
          ...{ id: 'w', ref, process: worker, kind: 'service', release: 1, image, argv: ['x'] },
          ...{ env: {}, port: 1, listens: true, createdAt: 0 },
          ...{ health: process.health, shutdown: process.shutdown, resources: process.resources },
        },
        // Port 1 of loopback: nothing listens there.
        address: { host: '127.0.0.1', port: 1 },
        runner: { waitForExit: (_, signal) => untilAborted(signal) },
        clock: { ...systemClock, now: () => Date.now() + jump },
        onEvent: (event) => {
          events.push(event)
          jump = jumpMs
          if (event.kind === 'late') late.resolve(undefined)
        },
      },
      stop.signal,
    )
    await late.promise
    const waited = performance.now() - began
    assert.ok(waited >= least && waited < 8000, String(waited))
    stop.abort()
    await watching
  }
})

function untilAborted(signal: AbortSignal | undefined): Promise<null> {
  return new Promise((resolve) => signal?.addEventListener('abort', () => resolve(null)))
}
