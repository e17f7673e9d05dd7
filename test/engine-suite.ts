import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { PROCESS_DEFAULTS, type ProcessSpec } from '../src/model/app-spec.ts'
import type { ActualApp, DesiredApp, Engine } from '../src/model/engine.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseProcessName,
  type AppRef,
} from '../src/model/names.ts'
import type { ImageFacts } from '../src/model/release.ts'

/** An engine on a host of its own, with the image of test/apps/behaviour and a way to send requests through the routes. */
export interface EngineWorld {
  readonly engine: Engine
  readonly image: ImageFacts
  /** GET through the router; status 0 where no answer came. */
  get(host: string, path: string): Promise<{ readonly status: number; readonly body: string }>
  /** Abandons the engine as `kill -9` would and opens a new one over the same host, with these targets applied first. */
  restart(desired: readonly DesiredApp[]): Promise<EngineWorld>
  /** Ids of everything that still exists on the host, of any app. */
  remains(): Promise<readonly string[]>
  close(): Promise<void>
}

export interface EngineSuiteOptions {
  readonly name: string
  /** Reason for which the suite cannot run here, or false. */
  readonly skip: string | false
  readonly open: () => Promise<EngineWorld>
  /** What differs between engines is how long things take and how much there is of a host. */
  readonly pace?: Partial<Pace>
}

export interface Pace {
  /** Longest wait for one state. */
  readonly limitMs: number
  /** When a copy that has to crash later does so: it was ready before. */
  readonly crashMs: number
  /** Bytes of one copy. */
  readonly memory: number
  /** How long the way of requests may lag behind what the engine has decided: nodes of a cluster hear of a Service later. */
  readonly trafficMs: number
  /** Names of apps begin with this. */
  readonly prefix: string
}

const PACE: Pace = {
  limitMs: 90_000,
  crashMs: 3_000,
  memory: 256 << 20,
  trafficMs: 0,
  prefix: 'app',
}

/** When a copy that never listens is given up: until then it has begun, and said so, also on a machine that does much else. */
const BROKEN_MS = 4_000
const web = parseProcessName('web')
let apps = 0

/** What every engine must hold, whatever it runs on. */
export function engineSuite({ name, skip, open, pace: own = {} }: EngineSuiteOptions): void {
  const pace = { ...PACE, ...own }
  describe(`engine: ${name}`, { skip, timeout: pace.limitMs * 10 }, () => {
    let world: EngineWorld
    before(async () => {
      world = await open()
    })
    after(async () => {
      await world.close()
    })

    const newApp = (): AppRef => createApp(pace.prefix)
    const until = (ref: AppRef, what: (actual: ActualApp) => boolean): Promise<ActualApp> =>
      waitFor(world.engine, ref, what, pace.limitMs)
    /** A request may come too early for a node that has not heard of a Service yet, and then only. */
    const serves = (ref: AppRef, body: string): Promise<void> =>
      eventually(async () => {
        assert.deepEqual(await world.get(hostOf(ref), '/'), { status: 200, body })
      }, pace.trafficMs)
    const target = (
      ref: AppRef,
      release: number,
      env: Record<string, string> = {},
      change: Change = {},
    ): DesiredApp =>
      desiredApp(
        ref,
        world.image,
        release,
        { VERSION: String(release), ...env },
        { memory: pace.memory, ...change },
      )

    test('brings copies up and routes to them; applying twice changes nothing', async () => {
      const ref = newApp()
      await world.engine.apply(target(ref, 1, {}, { replicas: 2 }))
      const actual = await until(ref, converged)
      assert.equal(actual.instances.length, 2)
      await serves(ref, '1')
      await world.engine.apply(target(ref, 1, {}, { replicas: 2 }))
      const again = await until(ref, converged)
      assert.deepEqual(
        again.instances.map(({ id }) => id).sort(),
        actual.instances.map(({ id }) => id).sort(),
      )
      await world.engine.remove(ref)
    })

    test('a new release takes over without a failed request and without fewer ready copies than promised', async () => {
      const ref = newApp()
      await world.engine.apply(target(ref, 1, {}, { replicas: 2 }))
      await until(ref, converged)
      await serves(ref, '1')
      const watching = new AbortController()
      const fewest = lowestReady(world.engine, ref, watching.signal)
      const load = sendSteadily(() => world.get(hostOf(ref), '/?wait=20'))
      await world.engine.apply(target(ref, 2, {}, { replicas: 2 }))
      await until(ref, (actual) => converged(actual) && actual.workloads[0]?.old === 0)
      const answers = await load.stop()
      watching.abort()
      assert.deepEqual(
        answers.filter(({ status }) => status !== 200),
        [],
      )
      assert.ok(answers.length > 5, 'the load really ran')
      await serves(ref, '2')
      assert.ok((await fewest) >= 2, `only ${String(await fewest)} ready`)
      await world.engine.remove(ref)
    })

    test('a release that never becomes ready leaves the old one serving and says why', async () => {
      const ref = newApp()
      await world.engine.apply(target(ref, 1))
      await until(ref, converged)
      await world.engine.apply(target(ref, 2, { NEVER_LISTEN: '1' }, { startMs: BROKEN_MS }))
      const failing = await until(ref, ({ workloads }) =>
        workloads.some(({ phase, diagnosis }) => phase === 'failing' && diagnosis.length > 0),
      )
      const text = failing.workloads.flatMap(({ diagnosis }) => diagnosis).join('\n')
      assert.match(text, /not ready within 4 s/)
      assert.match(text, /version 2 begins/)
      await serves(ref, '1')
      await world.engine.apply(target(ref, 1))
      const back = await until(ref, (actual) => converged(actual) && actual.instances.length === 1)
      assert.equal(back.instances[0]?.release, 1)
      await world.engine.remove(ref)
    })

    test('a release that crashes at once is failing, with its exit code and last lines', async () => {
      const ref = newApp()
      await world.engine.apply(
        target(ref, 1, { CRASH_AFTER_MS: '1', EXIT_CODE: '3', NEVER_LISTEN: '1' }),
      )
      const failing = await until(ref, ({ workloads }) =>
        workloads.some(({ phase, diagnosis }) => phase === 'failing' && diagnosis.length > 0),
      )
      const text = failing.workloads.flatMap(({ diagnosis }) => diagnosis).join('\n')
      assert.match(text, /exit code 3/)
      assert.match(text, /crashing as told/)
      await world.engine.remove(ref)
    })

    test('a copy that crashes later is replaced and says what ended the one before', async () => {
      const ref = newApp()
      await world.engine.apply(
        target(ref, 1, { CRASH_AFTER_MS: String(pace.crashMs), EXIT_CODE: '9' }),
      )
      const first = await until(ref, converged)
      const [old] = first.instances
      const replaced = await until(ref, ({ instances }) =>
        // A cluster starts the command again in the same copy.
        instances.some(
          ({ id, state, restarts }) =>
            state === 'ready' && (id !== old?.id || restarts > old.restarts),
        ),
      )
      assert.match(replaced.instances.map(({ reason }) => reason).join(), /exit code 9/)
      await world.engine.remove(ref)
    })

    test('scales up and down, and to nothing', async () => {
      const ref = newApp()
      for (const replicas of [1, 3, 1, 0]) {
        await world.engine.apply(target(ref, 1, {}, { replicas }))
        const actual = await until(
          ref,
          (found) => converged(found) && found.instances.length === replicas,
        )
        assert.equal(actual.workloads[0]?.ready, replicas)
      }
      await world.engine.remove(ref)
    })

    test('a candidate gets the traffic that its weight says, and becomes stable without a restart', async () => {
      const ref = newApp()
      await world.engine.apply(target(ref, 1))
      await until(ref, converged)
      const both = (weight: number): DesiredApp =>
        withCandidate(target(ref, 1), target(ref, 2), weight)
      await world.engine.apply(both(0))
      const waiting = await until(ref, converged)
      assert.deepEqual(
        waiting.workloads[0]?.tracks.map(({ name, release, ready }) => [name, release, ready]),
        [
          ['stable', 1, 1],
          ['candidate', 2, 1],
        ],
      )
      const answered = (body: string): Promise<void> =>
        eventually(async () => {
          assert.deepEqual(await bodies(world, ref), new Set([body]))
        }, pace.trafficMs)
      await answered('1')
      await world.engine.apply(both(100))
      const switched = await until(ref, converged)
      await answered('2')
      await world.engine.apply(target(ref, 2))
      const promoted = await until(
        ref,
        (actual) => converged(actual) && actual.instances.length === 1,
      )
      const candidate = switched.instances.find(({ release }) => release === 2)
      assert.equal(promoted.instances[0]?.id, candidate?.id)
      await world.engine.remove(ref)
    })

    test('a candidate that does not become ready is failing beside a stable one that serves', async () => {
      const ref = newApp()
      await world.engine.apply(target(ref, 1))
      await until(ref, converged)
      const broken = target(ref, 2, { NEVER_LISTEN: '1' }, { startMs: BROKEN_MS })
      await world.engine.apply(withCandidate(target(ref, 1), broken, 0))
      const failing = await until(ref, ({ workloads }) =>
        workloads.some(({ phase, diagnosis }) => phase === 'failing' && diagnosis.length > 0),
      )
      assert.match(failing.workloads[0]?.diagnosis.join('\n') ?? '', /version 2 begins/)
      await serves(ref, '1')
      await world.engine.remove(ref)
    })

    test('recreate never runs two releases at once', async () => {
      const ref = newApp()
      await world.engine.apply(target(ref, 1, {}, { strategy: 'recreate' }))
      await until(ref, converged)
      await world.engine.apply(target(ref, 2, {}, { strategy: 'recreate' }))
      await until(ref, (actual) => {
        assert.ok(new Set(actual.instances.map(({ release }) => release)).size <= 1)
        return converged(actual) && actual.workloads[0]?.old === 0
      })
      await serves(ref, '2')
      await world.engine.remove(ref)
    })

    test('a copy that ignores the signal is killed after its grace', async () => {
      const ref = newApp()
      await world.engine.apply(target(ref, 1, { IGNORE_TERM: '1' }, { stopMs: 500 }))
      await until(ref, converged)
      await world.engine.remove(ref)
      assert.deepEqual(world.engine.actual(ref).instances, [])
    })

    test('a request in flight is finished before its copy goes', async () => {
      const ref = newApp()
      await world.engine.apply(target(ref, 1))
      await until(ref, converged)
      await serves(ref, '1')
      const slow = world.get(hostOf(ref), '/?wait=1500')
      await world.get(hostOf(ref), '/')
      await world.engine.apply(target(ref, 2))
      assert.deepEqual(await slow, { status: 200, body: '1' })
      await until(ref, (actual) => converged(actual) && actual.workloads[0]?.old === 0)
      await world.engine.remove(ref)
    })

    test('instances outlive the engine and are adopted by the next one; what nobody wants is removed', async () => {
      const [kept, dropped] = [newApp(), newApp()]
      await world.engine.apply(target(kept, 1, {}, { replicas: 2 }))
      await world.engine.apply(target(dropped, 1))
      const before = await until(kept, converged)
      await until(dropped, converged)
      world = await world.restart([target(kept, 1, {}, { replicas: 2 })])
      const ids = before.instances.map(({ id }) => id).sort()
      const adopted = await until(kept, converged)
      assert.deepEqual(adopted.instances.map(({ id }) => id).sort(), ids)
      await serves(kept, '1')
      await until(dropped, ({ instances }) => instances.length === 0)
      await world.engine.remove(kept)
    })

    test('a rollout goes on after the engine was killed in the middle of it', async () => {
      const ref = newApp()
      await world.engine.apply(target(ref, 1, {}, { replicas: 2 }))
      await until(ref, converged)
      await world.engine.apply(
        target(ref, 2, { READY_AFTER_MS: '400' }, { replicas: 2, ready: '/ready' }),
      )
      await until(ref, ({ instances }) => instances.some(({ release }) => release === 2))
      world = await world.restart([
        target(ref, 2, { READY_AFTER_MS: '400' }, { replicas: 2, ready: '/ready' }),
      ])
      const actual = await until(ref, (found) => converged(found) && found.workloads[0]?.old === 0)
      assert.equal(actual.instances.length, 2)
      await serves(ref, '2')
      await world.engine.remove(ref)
    })

    test('a job runs once per key, with its output and exit code', async () => {
      const ref = newApp()
      const lines: string[] = []
      const { spec } = appSpec(ref, pace.memory)
      const job = {
        ref,
        spec,
        process: web,
        release: 1,
        image: world.image,
        argv: ['node', '-e', 'console.log("migrated " + Date.now()); process.exit(4)'],
        env: {},
        timeoutMs: 20_000,
        key: 'release-1',
      }
      const first = await world.engine.runJob(
        job,
        ({ text }) => lines.push(text),
        AbortSignal.timeout(pace.limitMs),
      )
      assert.equal(first.code, 4)
      assert.equal(lines.filter((line) => line.startsWith('migrated')).length, 1)
      const second = await world.engine.runJob(
        job,
        () => undefined,
        AbortSignal.timeout(pace.limitMs),
      )
      assert.deepEqual(second.lastLines, first.lastLines)
    })

    test('a job that takes too long is ended and says so', async () => {
      const ref = newApp()
      const { spec } = appSpec(ref, pace.memory)
      const result = await world.engine.runJob(
        {
          ref,
          spec,
          process: web,
          release: 1,
          image: world.image,
          argv: ['node', '-e', 'setInterval(() => {}, 1000)'],
          env: {},
          timeoutMs: 700,
          key: 'slow',
        },
        () => undefined,
        AbortSignal.timeout(pace.limitMs),
      )
      assert.equal(result.code, null)
      assert.match(result.reason, /longer than/)
    })

    test('leaves nothing behind', async () => {
      for (const ref of created) await world.engine.remove(ref)
      await eventually(async () => assert.deepEqual(await world.remains(), []), pace.limitMs)
    })
  })
}

interface Change {
  readonly replicas?: number
  readonly strategy?: 'rolling' | 'recreate'
  readonly startMs?: number
  readonly stopMs?: number
  readonly ready?: string
  readonly memory?: number
}

const created: AppRef[] = []

function createApp(prefix: string): AppRef {
  const ref = {
    app: parseAppName(`${prefix}${String(++apps)}`),
    environment: parseEnvironmentName('production'),
  }
  created.push(ref)
  return ref
}

function hostOf(ref: AppRef): string {
  return `${ref.app}.localhost`
}

function processSpec(change: Change): ProcessSpec {
  return {
    name: web,
    type: 'web',
    command: null,
    env: {},
    port: null,
    routes: [{ host: null, path: '/' }],
    health: {
      ready: change.ready ?? null,
      live: null,
      startMs: change.startMs ?? 20_000,
      intervalMs: 500,
      timeoutMs: 2_000,
      failures: 3,
    },
    shutdown: { signal: 'SIGTERM', drainMs: 10_000, stopMs: change.stopMs ?? 5_000 },
    resources: { cpu: 1, memory: change.memory ?? PACE.memory, pids: 200 },
    scale: { min: 1, max: 10 },
    strategy: change.strategy ?? 'rolling',
    maxAgeMs: null,
    ...PROCESS_DEFAULTS,
  }
}

function appSpec(
  ref: AppRef,
  memory: number,
): { readonly spec: Parameters<Engine['runJob']>[0]['spec'] } {
  return {
    spec: {
      name: ref.app,
      environment: ref.environment,
      target: null,
      build: { image: null, command: null, context: '.' },
      env: {},
      release: null,
      processes: { [web]: processSpec({ memory }) },
    },
  }
}

function desiredApp(
  ref: AppRef,
  image: ImageFacts,
  release: number,
  env: Record<string, string>,
  change: Change,
): DesiredApp {
  const spec = processSpec(change)
  const track = {
    name: 'stable' as const,
    release,
    spec,
    image,
    env,
    replicas: change.replicas ?? 1,
    weight: 100,
  }
  return { ref, target: null, workloads: [{ process: web, spec, tracks: [track] }] }
}

/** The first one's workload with the second one's track beside its own. */
function withCandidate(stable: DesiredApp, candidate: DesiredApp, weight: number): DesiredApp {
  return {
    ...stable,
    workloads: stable.workloads.map((workload, i) => ({
      ...workload,
      spec: candidate.workloads[i]?.spec ?? workload.spec,
      tracks: [
        ...workload.tracks.map((track) => ({ ...track, weight: 100 - weight })),
        ...(candidate.workloads[i]?.tracks ?? []).map((track) => ({
          ...track,
          name: 'candidate' as const,
          weight,
        })),
      ],
    })),
  }
}

/** What ten requests in a row are answered. */
async function bodies(world: EngineWorld, ref: AppRef): Promise<ReadonlySet<string>> {
  const seen = new Set<string>()
  for (let sent = 0; sent < 10; sent++) seen.add((await world.get(hostOf(ref), '/')).body)
  return seen
}

function converged(actual: ActualApp): boolean {
  return actual.workloads.length > 0 && actual.workloads.every(({ phase }) => phase === 'converged')
}

async function waitFor(
  engine: Engine,
  ref: AppRef,
  what: (actual: ActualApp) => boolean,
  limitMs: number,
): Promise<ActualApp> {
  for await (const actual of engine.watch(ref, AbortSignal.timeout(limitMs)))
    if (what(actual)) return actual
  throw new Error(
    `not within ${String(limitMs)} ms: ${JSON.stringify(engine.actual(ref), null, 1)}`,
  )
}

async function lowestReady(engine: Engine, ref: AppRef, signal: AbortSignal): Promise<number> {
  let lowest = Number.POSITIVE_INFINITY
  for await (const { instances } of engine.watch(ref, signal)) {
    lowest = Math.min(lowest, instances.filter(({ state }) => state === 'ready').length)
  }
  return lowest
}

interface Answer {
  readonly status: number
  readonly body: string
}

function sendSteadily(send: () => Promise<Answer>): { stop(): Promise<readonly Answer[]> } {
  const answers: Promise<Answer>[] = []
  const timer = setInterval(() => answers.push(send()), 20)
  return {
    stop: () => {
      clearInterval(timer)
      return Promise.all(answers)
    },
  }
}

async function eventually(check: () => Promise<void>, limitMs: number): Promise<void> {
  const deadline = Date.now() + limitMs
  for (;;) {
    try {
      await check()
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
