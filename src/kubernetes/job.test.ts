import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  appOf,
  IMAGE,
  SHOP,
  specOf,
  WEB,
  settingsWith,
  workloadOf,
} from '../../test/fakes/cluster-plan.ts'
import type { Clock } from '../model/clock.ts'
import type { JobRequest, JobResult } from '../model/engine.ts'
import type { LogLine } from '../model/runner.ts'
import type { ObjectName } from './cluster-client.ts'
import { runClusterJob, type JobDeps } from './job.ts'
import type { Json } from './json-value.ts'
import { planJob } from './plan-job.ts'
import { podFacts } from './pod-facts.ts'

const JOB: JobRequest = {
  ref: SHOP,
  spec: specOf(appOf(workloadOf({}))),
  process: WEB,
  release: 1,
  image: IMAGE,
  argv: ['migrate'],
  env: {},
  timeoutMs: 600_000,
  key: 'release-1',
}
const NO_NODE = {
  type: 'PodScheduled',
  status: 'False',
  reason: 'Unschedulable',
  message: '0/2 nodes fit',
}

interface Told {
  readonly result: JobResult
  readonly lines: readonly string[]
  readonly patched: readonly unknown[]
  readonly deleted: readonly string[]
  readonly tookMs: number
}

/** A run whose pod gets its node after so many seconds; the API server is scripted, for no lab has an autoscaler. */
async function runWith(events: readonly Json[], nodeAfterS: number, job = JOB): Promise<Told> {
  let now = Date.parse('2026-01-01T00:00:00Z')
  const began = now
  const clock: Clock = {
    now: () => now,
    elapsed: () => now,
    sleep: (ms) => {
      now += ms
      return Promise.resolve()
    },
  }
  const lines: LogLine[] = []
  const patched: unknown[] = []
  const deleted: string[] = []
  const pod = () => {
    const done = now - began >= nodeAfterS * 1000
    const ended = { terminated: { exitCode: 0, finishedAt: new Date(now).toISOString() } }
    return podFacts({
      metadata: { name: 'run-1', creationTimestamp: new Date(began).toISOString() },
      spec: { containers: [{ name: 'app' }] },
      status: done
        ? { phase: 'Succeeded', containerStatuses: [{ name: 'app', state: ended }] }
        : { phase: 'Pending', conditions: [NO_NODE] },
    })
  }
  const client = {
    get: () => Promise.resolve(null),
    apply: () => Promise.resolve({ metadata: { uid: 'u' } }),
    list: () => Promise.resolve({ items: events, resourceVersion: '1' }),
    mergePatch: (_: unknown, patch: unknown) => {
      patched.push(patch)
      return Promise.resolve({})
    },
    delete: ({ name }: ObjectName) => {
      deleted.push(name)
      return Promise.resolve(true)
    },
    podLog: async function* () {
      // It printed nothing.
    },
  }
  const deps: JobDeps = {
    client,
    applier: { apply: () => Promise.resolve({ applied: 1 }) },
    podsOf: () => [pod()],
    change: () => new Promise(() => undefined),
    clock,
  }
  const planned = planJob(job, settingsWith())
  const result = await runClusterJob(
    job,
    planned,
    deps,
    (line) => lines.push(line),
    new AbortController().signal,
  )
  return { result, lines: lines.map(({ text }) => text), patched, deleted, tookMs: now - began }
}

const comes: Json = {
  involvedObject: { name: 'run-1' },
  reason: 'TriggeredScaleUp',
  message: 'pod triggered scale-up: [{group 1->2}]',
}

test('a run that no node takes ends after a minute, and never begins later', async () => {
  const { result, patched, tookMs } = await runWith([], 300)
  assert.equal(result.code, null)
  assert.match(result.reason, /no node takes it: 0\/2 nodes fit/)
  assert.ok(tookMs < 90_000, String(tookMs))
  assert.deepEqual(patched.at(-1), { spec: { activeDeadlineSeconds: 1 } })
})

test('while an autoscaler brings a node it is waited for, and said so once', async () => {
  const { result, lines, patched } = await runWith([comes], 100)
  assert.equal(result.code, 0)
  assert.deepEqual(
    lines.filter((line) => line.includes('on its way')),
    ['waits for a node that is on its way: pod triggered scale-up: [{group 1->2}]'],
  )
  assert.ok(!patched.some((patch) => JSON.stringify(patch).includes('activeDeadline')))
})

test('a node that does not come in two minutes ends it, and so does word that none comes', async () => {
  const late = await runWith([comes], 400)
  assert.match(late.result.reason, /did not come in time/)
  assert.ok(late.tookMs >= 120_000 && late.tookMs < 150_000, String(late.tookMs))
  const none = { ...comes, reason: 'NotTriggerScaleUp', message: 'no group fits' }
  const refused = await runWith([comes, none], 400)
  assert.ok(refused.tookMs < 90_000, String(refused.tookMs))
})

test('the values of a run go when it has ended, though the Job stays to be asked', async () => {
  const { deleted } = await runWith([], 5, { ...JOB, env: { TOKEN: 'planted' } })
  assert.equal(deleted.length, 1)
  assert.match(deleted.join(), /^web-1-[0-9a-f]{10}--env-/)
})
