import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROCESS_DEFAULTS, type AppSpec, type ProcessSpec } from '../model/app-spec.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseProcessName,
  parseTargetName,
} from '../model/names.ts'
import { unsupportedKeys } from './unsupported-keys.ts'

const web = parseProcessName('web')
const PLAIN: ProcessSpec = {
  name: web,
  type: 'web',
  command: null,
  env: {},
  port: null,
  routes: [],
  health: { ready: null, live: null, startMs: 1, intervalMs: 1, timeoutMs: 1, failures: 1 },
  shutdown: { signal: 'SIGTERM', drainMs: 1, stopMs: 1 },
  resources: { cpu: 1, memory: 1, pids: 1 },
  scale: { min: 1, max: 1 },
  strategy: 'rolling',
  maxAgeMs: null,
  ...PROCESS_DEFAULTS,
}

function specWith(change: Partial<ProcessSpec>): AppSpec {
  return {
    name: parseAppName('shop'),
    environment: parseEnvironmentName('production'),
    target: null,
    build: { image: null, command: null, context: '.' },
    env: {},
    release: null,
    processes: { [web]: { ...PLAIN, ...change } },
  }
}

const volume = { name: 'data', sizeBytes: 1, mount: '/data', shared: false }
const SCHEDULE = { cron: '* * * * *', timezone: 'UTC', overlap: 'forbid' } as const

const CASES: readonly (readonly [Partial<ProcessSpec>, readonly string[]])[] = [
  [{}, []],
  [{ strategy: 'canary', canary: { steps: [100], pauseMs: 1, analysis: null } }, []],
  [{ strategy: 'bluegreen', bluegreen: { keepMs: 1 } }, []],
  [
    { schedule: { ...SCHEDULE, deadlineMs: null, retries: 0, catchUpMs: 0 } },
    ['processes.web.schedule'],
  ],
  [{ volumes: [volume] }, ['volumes.data']],
  [{ callers: [] }, ['mesh.allow']],
  [{ autoscale: { cpuPercent: 70, memoryPercent: null } }, ['processes.web.scale.on']],
  [{ peers: true, spread: 'zone' }, ['processes.web.peers', 'processes.web.spread']],
  [{ disruption: 2, spot: 'allow' }, ['processes.web.disruption', 'processes.web.spot']],
  [{ health: { ...PLAIN.health, live: '/' } }, ['processes.web.health.live']],
]

test('what one machine cannot honour is named', () => {
  for (const [change, keys] of CASES) assert.deepEqual(unsupportedKeys(specWith(change)), keys)
  assert.deepEqual(unsupportedKeys({ ...specWith({}), target: parseTargetName('prod') }), [
    'target',
  ])
})
