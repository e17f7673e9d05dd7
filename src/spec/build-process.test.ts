import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ProcessSpec } from '../model/app-spec.ts'
import { FairwayError } from '../model/errors.ts'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import { positionOf, resolveAppFile } from './resolve-app-file.ts'

const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }

function resolve(text: string) {
  const file = { path: 'f', text: `version: 1\n${text}` }
  return resolveAppFile({ file, ref, recognition: null })
}

function processOf(text: string): ProcessSpec {
  const [process] = Object.values<ProcessSpec>(resolve(text).spec.processes)
  assert.ok(process)
  return process
}

test('the target of an environment is part of the spec', () => {
  assert.equal(resolve('').spec.target, null)
  assert.equal(resolve('environments: { production: { target: prod } }').spec.target, 'prod')
  assert.throws(() => resolve('environments: { production: { target: Prod } }'), /expected a name/)
  assert.throws(() => resolve('target: prod'), /unknown key "target"/)
})

test('a schedule makes a cron process that has no copies between its runs', () => {
  const { type, schedule, scale, routes, port } = processOf(
    'processes: { nightly: { command: a, schedule: "0  3 * * *" } }',
  )
  assert.deepEqual(
    { type, schedule, scale, routes, port },
    {
      type: 'cron',
      schedule: {
        cron: '0 3 * * *',
        timezone: 'UTC',
        overlap: 'forbid',
        deadlineMs: null,
        retries: 0,
        catchUpMs: 600_000,
      },
      scale: { min: 0, max: 0 },
      routes: [],
      port: null,
    },
  )
  const { schedule: full } = processOf(
    'processes: { n: { schedule: "*/5 * * * mon", tz: Europe/Berlin, overlap: replace, deadline: 1h, retries: 2, catchUp: 30s } }',
  )
  assert.deepEqual(full, {
    cron: '*/5 * * * mon',
    timezone: 'Europe/Berlin',
    overlap: 'replace',
    deadlineMs: 3_600_000,
    retries: 2,
    catchUpMs: 30_000,
  })
})

test('strategies with two tracks carry what decides them, and only then', () => {
  const canary = processOf('processes: { web: { deploy: { strategy: canary } } }')
  assert.deepEqual(canary.canary, { steps: [5, 25, 100], pauseMs: 120_000, analysis: null })
  const judged = processOf(
    'processes: { web: { deploy: { strategy: canary, steps: [10%, 50%], pause: 5s, analysis: { p95: "<500ms" } } } }',
  )
  assert.deepEqual(judged.canary, {
    steps: [10, 50, 100],
    pauseMs: 5000,
    analysis: { maxErrorRate: 0.01, p95Ms: 500, minRequests: 100 },
  })
  const strict = processOf(
    'processes: { web: { deploy: { strategy: canary, analysis: { errorRate: "< 0.5%", minRequests: 5 } } } }',
  )
  assert.deepEqual(strict.canary?.analysis, { maxErrorRate: 0.005, p95Ms: null, minRequests: 5 })
  const green = processOf('processes: { web: { deploy: { strategy: bluegreen } } }')
  assert.deepEqual([green.bluegreen, green.canary], [{ keepMs: 600_000 }, null])
  const { spec, warnings } = resolve('processes: { web: { deploy: { steps: [5%], keep: 1m } } }')
  assert.equal(Object.values<ProcessSpec>(spec.processes)[0]?.canary, null)
  assert.equal(warnings.length, 2)
})

test('a volume that is not shared means one copy that is recreated', () => {
  const { spec, warnings } = resolve(
    'volumes: { data: { size: 5Gi, mount: /data, processes: [web] } }\nprocesses: { web: {} }',
  )
  const [web] = Object.values<ProcessSpec>(spec.processes)
  assert.equal(web?.strategy, 'recreate')
  assert.deepEqual(web.volumes, [
    { name: 'data', sizeBytes: 5 * 2 ** 30, mount: '/data', shared: false },
  ])
  assert.match(warnings.join(), /a deploy stops the old instance before the new one starts/)
  const shared = processOf(
    'volumes: { data: { size: 1Gi, mount: /data, processes: [web, b], shared: true } }\nprocesses: { web: { scale: { min: 3 } }, b: {} }',
  )
  assert.deepEqual([shared.strategy, shared.volumes[0]?.shared], ['rolling', true])
})

test('who may call: with mesh.allow everyone whom it does not name is refused', () => {
  const text = 'processes: { web: {}, api: { port: 1 }, db: { port: 2 } }'
  const callers = (file: string) =>
    Object.values<ProcessSpec>(resolve(file).spec.processes).map((process) => process.callers)
  assert.deepEqual(callers(text), [null, null, null])
  assert.deepEqual(callers(`${text}\nmesh: { allow: { api: [web, billing/web], db: [api] } }`), [
    [],
    [
      { app: 'shop', process: 'web' },
      { app: 'billing', process: 'web' },
    ],
    [{ app: 'shop', process: 'api' }],
  ])
})

test('scaling, spreading, disruption, spot, peers and liveness reach the spec', () => {
  const one = processOf(
    'processes: { web: { scale: { min: 2, max: 9, on: { cpu: 70% } }, spread: zone, disruption: 2, spot: allow, peers: true, health: { live: /live } } }',
  )
  const { autoscale, spread, disruption, spot, peers, health } = one
  assert.deepEqual(
    { autoscale, spread, disruption, spot, peers, live: health.live },
    {
      autoscale: { cpuPercent: 70, memoryPercent: null },
      spread: 'zone',
      disruption: 2,
      spot: 'allow',
      peers: true,
      live: '/live',
    },
  )
})

const CONTRADICTIONS: readonly (readonly [string, RegExp])[] = [
  ['processes: { a: { tz: UTC } }', /a\.tz: tz says nothing without a schedule/],
  ['processes: { a: { schedule: "0 25 * * *" } }', /"25" is no hour/],
  ['processes: { a: { schedule: "0 2 * * *", tz: Berlin } }', /"Berlin" is no time zone/],
  ['processes: { a: { schedule: "0 2 * * *", scale: { min: 2 } } }', /has no scale/],
  ['processes: { a: { schedule: "0 2 * * *", peers: true } }', /has no peers/],
  ['processes: { a: { health: { live: / } } }', /cannot be asked over HTTP/],
  ['processes: { web: { deploy: { strategy: canary, steps: [50%, 5%] } } }', /rise/],
  ['processes: { web: { deploy: { analysis: { errorRate: "1%" } } } }', /a bound such as "<1%"/],
  ['processes: { web: { deploy: { analysis: { p95: "<1%" } } } }', /a bound such as "<500ms"/],
  ['processes: { web: { scale: { min: 0, max: 2, on: { cpu: 50% } } } }', /at least 1/],
  ['processes: { web: { scale: { max: 2, on: { cpu: 0% } } } }', /1% to 100%/],
  ['processes: { web: { disruption: 0 } }', /a whole number from 1 to 1000/],
  ['processes: { web: {} }\nmesh: { allow: { web: [wep] } }', /"wep" is not in this file/],
  ['processes: { web: {} }\nmesh: { allow: { web: [a/b/c] } }', /a process such as web/],
  [
    'processes: { web: { scale: { min: 2 } } }\nvolumes: { v: { size: 1Gi, mount: /v, processes: [web] } }',
    /one instance at most/,
  ],
  [
    'processes: { web: { deploy: { strategy: bluegreen } } }\nvolumes: { v: { size: 1Gi, mount: /v, processes: [web] } }',
    /recreate is what works/,
  ],
  [
    'processes: { web: {}, b: {} }\nvolumes: { v: { size: 1Gi, mount: /v, processes: [web, b] } }',
    /add volumes\.v\.shared: true/,
  ],
]
for (const [text, message] of CONTRADICTIONS)
  test(`refused: ${text.replace('\n', ' ')}`, () => {
    assert.throws(
      () => resolve(text),
      (error) => {
        assert.ok(error instanceof FairwayError)
        assert.equal(error.code, 'INVALID_APP_FILE')
        assert.match(error.message, message)
        assert.match(error.message, /^f:\d+:\d+:/)
        return true
      },
    )
  })

test('a key is found where it stands, in the overlay first', () => {
  const text = `version: 1
processes: { web: { spread: zone } }
environments:
  production: { target: prod, processes: { web: { peers: true } } }
`
  const file = { path: 'fairway.yaml', text }
  const at = (key: string): string => positionOf(file, ref, key)
  assert.equal(at('processes.web.spread'), 'fairway.yaml:2:21')
  assert.equal(at('target'), 'fairway.yaml:4:17')
  assert.equal(at('processes.web.peers'), 'fairway.yaml:4:51')
})
