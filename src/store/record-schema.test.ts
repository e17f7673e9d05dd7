import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROCESS_DEFAULTS } from '../model/app-spec.ts'
import { specSchema } from './record-schema.ts'

/** As version 0.1 stored it, before targets, schedules and all that only a cluster honours. */
const OLD = {
  name: 'shop',
  environment: 'production',
  build: { image: null, command: null, context: '.' },
  env: {},
  release: null,
  processes: {
    web: {
      name: 'web',
      type: 'web',
      command: null,
      env: {},
      port: null,
      routes: [],
      health: { ready: '/', startMs: 1, intervalMs: 1, timeoutMs: 1, failures: 1 },
      shutdown: { signal: 'SIGTERM', drainMs: 1, stopMs: 1 },
      resources: { cpu: 1, memory: 1, pids: 1 },
      scale: { min: 1, max: 1 },
      strategy: 'rolling',
      maxAgeMs: null,
    },
  },
}

test('a row of an earlier version reads with the defaults of what came later', () => {
  const read = specSchema.parse(OLD)
  const { web } = OLD.processes
  assert.deepEqual(read, {
    ...OLD,
    target: null,
    processes: {
      web: { ...web, ...PROCESS_DEFAULTS, health: { ...web.health, live: null } },
    },
  })
})

test('what is written comes back', () => {
  const web = {
    ...specSchema.parse(OLD).processes['web' as never],
    type: 'cron',
    schedule: {
      cron: '0 3 * * *',
      timezone: 'UTC',
      overlap: 'forbid',
      deadlineMs: null,
      retries: 1,
      catchUpMs: 1,
    },
    strategy: 'canary',
    canary: {
      steps: [100],
      pauseMs: 1,
      analysis: { maxErrorRate: 0.01, p95Ms: null, minRequests: 1 },
    },
    bluegreen: { keepMs: 1 },
    volumes: [{ name: 'data', sizeBytes: 1, mount: '/data', shared: true }],
    peers: true,
    autoscale: { cpuPercent: 70, memoryPercent: null },
    spread: 'zone',
    disruption: 2,
    spot: 'allow',
    callers: [{ app: 'billing', process: 'web' }],
  }
  const spec = { ...OLD, target: 'prod', processes: { web } }
  assert.deepEqual(specSchema.parse(JSON.parse(JSON.stringify(spec))), spec)
})
