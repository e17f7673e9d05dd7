import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { PROCESS_DEFAULTS, type ProcessSpec } from '../model/app-spec.ts'
import type { DesiredApp } from '../model/engine.ts'
import { parseAppName, parseEnvironmentName, parseProcessName } from '../model/names.ts'
import { plan, type PlannedInstance, type PlanStep } from './plan.ts'

const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
const web = parseProcessName('web')

function processSpec(change: Partial<ProcessSpec> = {}): ProcessSpec {
  return {
    name: web,
    type: 'web',
    command: ['app'],
    env: {},
    port: null,
    routes: [],
    health: {
      ready: null,
      live: null,
      startMs: 1000,
      intervalMs: 100,
      timeoutMs: 100,
      failures: 3,
    },
    shutdown: { signal: 'SIGTERM', drainMs: 1000, stopMs: 1000 },
    resources: { cpu: 1, memory: 1 << 28, pids: 100 },
    scale: { min: 1, max: 1 },
    strategy: 'rolling',
    maxAgeMs: null,
    ...PROCESS_DEFAULTS,
    ...change,
  }
}

function desired(release: number, replicas: number, change: Partial<ProcessSpec> = {}): DesiredApp {
  const image = {
    digest: 'sha256:0' as const,
    flavour: 'image' as const,
    command: [],
    env: {},
    workingDir: '/',
    user: '',
    port: null,
    sizeBytes: 0,
  }
  const spec = processSpec(change)
  const track = { name: 'stable' as const, release, spec, image, env: {}, replicas, weight: 100 }
  return {
    ref,
    target: null,
    workloads: [{ process: web, spec, tracks: [track] }],
  }
}

/** A host as the planner sees it: steps begin at once, events of the world move instances on. */
class World {
  instances: PlannedInstance[] = []
  now = 0
  #next = 0

  apply(steps: readonly PlanStep[]): void {
    for (const step of steps) {
      if (step.kind === 'start') {
        this.instances.push({
          id: `web-${String(this.#next++)}`,
          process: step.process,
          release: step.release,
          phase: 'starting',
          startedAt: this.now,
        })
      }
      if (step.kind === 'retire') this.move(step.id, 'leaving')
    }
  }

  move(id: string, phase: PlannedInstance['phase']): void {
    this.instances = this.instances.map((instance) =>
      instance.id === id ? { ...instance, phase } : instance,
    )
  }

  ready(release?: number): number {
    return this.instances.filter(
      (one) => one.phase === 'ready' && (release === undefined || one.release === release),
    ).length
  }

  /** The next thing that happens on its own: a start succeeds or a leaving one is gone. */
  proceed(choice: number): boolean {
    const moving = this.instances.filter(({ phase }) => phase === 'starting' || phase === 'leaving')
    const one = moving[choice % Math.max(1, moving.length)]
    if (one === undefined) return false
    if (one.phase === 'starting') this.move(one.id, 'ready')
    else this.instances = this.instances.filter(({ id }) => id !== one.id)
    return true
  }
}

function step(world: World, target: DesiredApp): readonly PlanStep[] {
  const steps = plan({
    desired: target,
    instances: world.instances,
    notBefore: new Map(),
    now: world.now,
  })
  world.apply(steps)
  return steps
}

function settle(
  world: World,
  target: DesiredApp,
  choices: readonly number[],
  check: () => void = () => undefined,
): void {
  for (let round = 0; round < 200; round++) {
    const steps = step(world, target)
    check()
    const moved = world.proceed(choices[round % choices.length] ?? 0)
    check()
    if (!moved && steps.every(({ kind }) => kind === 'wait')) return
  }
  assert.fail('does not settle')
}

const choices = fc.array(fc.nat(20), { minLength: 1, maxLength: 30 })

describe('rolling', () => {
  test('from nothing to n copies, then nothing left to do', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 6 }), choices, (replicas, order) => {
        const world = new World()
        settle(world, desired(1, replicas), order)
        assert.equal(world.ready(1), replicas)
        assert.equal(world.instances.length, replicas)
      }),
    )
  })

  test('never fewer ready copies than promised while a release replaces another', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 6 }),
        choices,
        (before, after, order) => {
          const world = new World()
          settle(world, desired(1, before), order)
          settle(world, desired(2, after), order, () => {
            assert.ok(world.ready() >= Math.min(before, after), `${String(world.ready())} ready`)
          })
          assert.equal(world.ready(2), after)
          assert.equal(world.instances.length, after)
        },
      ),
    )
  })

  test('an old release is kept while the new one never becomes ready', () => {
    const world = new World()
    settle(world, desired(1, 2), [0])
    for (let round = 0; round < 5; round++) step(world, desired(2, 2))
    assert.equal(world.ready(1), 2)
    assert.equal(world.instances.filter(({ release }) => release === 2).length, 2)
  })

  test('back to the old release fills it up again and removes the new one', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.nat(12),
        choices,
        (replicas, rounds, order) => {
          const world = new World()
          settle(world, desired(1, replicas), order)
          for (let round = 0; round < rounds; round++) {
            step(world, desired(2, replicas))
            world.proceed(order[round % order.length] ?? 0)
          }
          settle(world, desired(1, replicas), order, () =>
            assert.ok(world.ready() >= Math.min(replicas, 1)),
          )
          assert.equal(world.ready(1), replicas)
          assert.equal(world.instances.length, replicas)
        },
      ),
    )
  })
})

test('copies whose value changed are replaced one by one, never with fewer ready than promised', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), choices, (replicas, order) => {
      const world = new World()
      settle(world, desired(1, replicas), order)
      const before = new Set(world.instances.map(({ id }) => id))
      world.instances = world.instances.map((one) => ({ ...one, outdated: true }))
      settle(world, desired(1, replicas), order, () => {
        assert.ok(world.ready() >= replicas, `${String(world.ready())} ready`)
        assert.ok(world.instances.length <= replicas + 1)
      })
      assert.equal(world.ready(1), replicas)
      assert.ok(world.instances.every(({ id }) => !before.has(id)))
    }),
  )
})

test('one that is not ready with a value that changed is replaced at once; with recreate the old one goes first', () => {
  const world = new World()
  settle(world, desired(1, 2), [0])
  world.instances = world.instances.map((one) => ({ ...one, outdated: true, phase: 'unready' }))
  const steps = step(world, desired(1, 2))
  assert.deepEqual(steps.map(({ kind }) => kind).sort(), ['retire', 'retire', 'start', 'start'])
  const target = desired(1, 1, { strategy: 'recreate' })
  const alone = new World()
  settle(alone, target, [0])
  alone.instances = alone.instances.map((one) => ({ ...one, outdated: true }))
  settle(alone, target, [0], () => assert.ok(alone.instances.length <= 1))
  assert.deepEqual(
    alone.instances.map(({ outdated, phase }) => [outdated, phase]),
    [[undefined, 'ready']],
  )
})

test('recreate starts nothing before every old copy is gone', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), choices, (replicas, order) => {
      const world = new World()
      settle(world, desired(1, replicas, { strategy: 'recreate' }), order)
      settle(world, desired(2, replicas, { strategy: 'recreate' }), order, () => {
        assert.ok(new Set(world.instances.map(({ release }) => release)).size <= 1)
      })
      assert.equal(world.ready(2), replicas)
    }),
  )
})

test('a crashed copy is replaced after its backoff, one at a time', () => {
  const crashed: PlannedInstance = {
    id: 'web-a',
    process: 'web',
    release: 1,
    phase: 'crashed',
    startedAt: 0,
  }
  const input = {
    desired: desired(1, 3),
    instances: [crashed],
    notBefore: new Map([['web@1', 500]]),
    now: 100,
  }
  assert.deepEqual(plan(input), [{ kind: 'wait', until: 500 }])
  const later = plan({ ...input, now: 500 })
  assert.deepEqual(
    later.map(({ kind }) => kind),
    ['retire', 'start'],
  )
})

test('copies beyond their maximum age are replaced one after the other, never below the promised number', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), choices, (replicas, order) => {
      const world = new World()
      const target = desired(1, replicas, { maxAgeMs: 1000 })
      settle(world, desired(1, replicas), order)
      const first = new Set(world.instances.map(({ id }) => id))
      world.now = 2000
      settle(world, target, order, () => assert.ok(world.ready() >= replicas))
      assert.equal(world.ready(), replicas)
      assert.ok(world.instances.every(({ id }) => !first.has(id)))
    }),
  )
})

test('an aged copy stays until its replacement is ready', () => {
  const copy = (id: string, phase: 'ready' | 'starting', startedAt: number): PlannedInstance => ({
    id,
    process: web,
    release: 1,
    phase,
    startedAt,
  })
  const aged = [copy('a', 'ready', 0), copy('b', 'ready', 900)]
  const retired = (fresh: 'ready' | 'starting'): readonly PlanStep[] =>
    plan({
      desired: desired(1, 2, { maxAgeMs: 1000 }),
      instances: [...aged, copy('c', fresh, 1000)],
      notBefore: new Map(),
      now: 1000,
    }).filter(({ kind }) => kind === 'retire')
  assert.deepEqual(retired('starting'), [])
  assert.deepEqual(retired('ready'), [{ kind: 'retire', id: 'a', why: 'maximum age' }])
})

test('scaling down removes what is not ready first', () => {
  const at = (id: string, phase: PlannedInstance['phase']): PlannedInstance => ({
    id,
    process: 'web',
    release: 1,
    phase,
    startedAt: 0,
  })
  const instances = [at('a', 'ready'), at('b', 'unready'), at('c', 'ready')]
  const steps = plan({ desired: desired(1, 2), instances, notBefore: new Map(), now: 0 })
  assert.deepEqual(steps, [{ kind: 'retire', id: 'b', why: 'scaled down' }])
})

test('processes that the app no longer has are retired', () => {
  const worker: PlannedInstance = {
    id: 'w',
    process: 'worker',
    release: 1,
    phase: 'ready',
    startedAt: 0,
  }
  const steps = plan({
    desired: { ref, target: null, workloads: [] },
    instances: [worker],
    notBefore: new Map(),
    now: 0,
  })
  assert.deepEqual(steps, [{ kind: 'retire', id: 'w', why: 'process removed' }])
})
