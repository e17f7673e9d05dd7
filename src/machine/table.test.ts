import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROCESS_DEFAULTS, type ProcessSpec } from '../model/app-spec.ts'
import type { DesiredApp, Track } from '../model/engine.ts'
import { parseAppName, parseEnvironmentName, parseProcessName } from '../model/names.ts'
import { appTable, defaultHost } from './table.ts'
import type { Tracked } from './tracked.ts'

const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
const web = parseProcessName('web')
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
const spec: ProcessSpec = {
  name: web,
  type: 'web',
  command: ['app'],
  env: {},
  port: null,
  routes: [{ host: null, path: '/' }],
  health: {
    ready: null,
    live: null,
    startMs: 90_000,
    intervalMs: 100,
    timeoutMs: 100,
    failures: 3,
  },
  shutdown: { signal: 'SIGTERM', drainMs: 1, stopMs: 1 },
  resources: { cpu: 1, memory: 1, pids: 1 },
  scale: { min: 1, max: 1 },
  strategy: 'rolling',
  maxAgeMs: null,
  ...PROCESS_DEFAULTS,
}

function desired(...tracks: readonly Pick<Track, 'name' | 'release' | 'weight'>[]): DesiredApp {
  return {
    ref,
    target: null,
    workloads: [
      {
        process: web,
        spec,
        tracks: tracks.map((track) => ({ ...track, spec, image, env: {}, replicas: 1 })),
      },
    ],
  }
}

function copy(id: string, release: number, phase: Tracked['phase']): Tracked {
  return {
    spec: {
      id,
      ref,
      process: web,
      kind: 'service',
      release,
      image,
      argv: [],
      env: {},
      port: null,
      listens: true,
      health: spec.health,
      shutdown: spec.shutdown,
      resources: spec.resources,
      createdAt: 0,
    },
    phase,
    reason: '',
    address: { host: '10.0.0.1', port: 80 },
    source: null,
    startedAt: 0,
    restarts: 0,
    exit: null,
  }
}

const stable = { name: 'stable' as const, release: 2, weight: 100 }

test('only ready copies are routed, of whatever release they are', () => {
  const { services } = appTable(desired(stable), [
    copy('old', 1, 'ready'),
    copy('new', 2, 'ready'),
    copy('starting', 2, 'starting'),
    copy('draining', 1, 'draining'),
    copy('unready', 1, 'unready'),
  ])
  assert.deepEqual(
    services[0]?.targets.map(({ id }) => id),
    ['old', 'new'],
  )
})

test('where no copy is ready, unready ones are better than none', () => {
  const { services } = appTable(desired(stable), [copy('a', 2, 'unready'), copy('b', 2, 'crashed')])
  assert.deepEqual(
    services[0]?.targets.map(({ id }) => id),
    ['a'],
  )
})

test('a candidate gets its share, however many copies there are', () => {
  const { services } = appTable(
    desired({ ...stable, weight: 75 }, { name: 'candidate', release: 3, weight: 25 }),
    [copy('a', 2, 'ready'), copy('b', 2, 'ready'), copy('c', 2, 'ready'), copy('d', 3, 'ready')],
  )
  const targets = services.flatMap((service) => service.targets)
  const weights = new Map(targets.map(({ id, weight }) => [id, weight]))
  const all = [...weights.values()].reduce((sum, weight) => sum + weight, 0)
  assert.equal(Math.round(((weights.get('d') ?? 0) * 100) / all), 25)
})

test('host names follow from app and environment; requests are held for at most 30 s', () => {
  assert.equal(defaultHost(ref), 'shop.localhost')
  assert.equal(
    defaultHost({ ...ref, environment: parseEnvironmentName('staging') }),
    'shop--staging.localhost',
  )
  const { routes, services } = appTable(desired(stable), [])
  assert.deepEqual(routes, [{ host: 'shop.localhost', path: '/', service: 'shop/production/web' }])
  assert.deepEqual(
    services.map(({ holdMs, expected }) => [holdMs, expected]),
    [[30_000, true]],
  )
})
