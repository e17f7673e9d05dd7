import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PROCESS_DEFAULTS, type ProcessSpec } from '../model/app-spec.ts'
import type { DesiredApp, WorkloadStatus } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import { parseAppName, parseEnvironmentName, parseProcessName } from '../model/names.ts'
import { actualApp, type Observation } from './app-status.ts'
import { podFacts, type PodFacts } from './pod-facts.ts'
import { routeFacts, type RouteFacts } from './route-facts.ts'
import { workloadFacts, type WorkloadFacts } from './workload-facts.ts'

const NOW = 1_000_000
const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
const web = parseProcessName('web')
const spec: ProcessSpec = {
  ...PROCESS_DEFAULTS,
  name: web,
  type: 'web',
  command: null,
  env: {},
  port: 8080,
  routes: [],
  health: { ready: null, live: null, startMs: 20_000, intervalMs: 1, timeoutMs: 1, failures: 1 },
  shutdown: { signal: 'SIGTERM', drainMs: 1, stopMs: 1 },
  resources: { cpu: 1, memory: 1, pids: 1 },
  scale: { min: 1, max: 9 },
  strategy: 'rolling',
  maxAgeMs: null,
}

function desired(release: number, replicas: number, change: Partial<ProcessSpec> = {}): DesiredApp {
  const own = { ...spec, ...change }
  const image = {
    digest: `sha256:${'0'.repeat(64)}` as const,
    flavour: 'image' as const,
    command: [],
    env: {},
    workingDir: '',
    user: '',
    port: null,
    sizeBytes: 0,
  }
  const track = {
    name: 'stable' as const,
    release,
    spec: own,
    image,
    env: {},
    replicas,
    weight: 100,
  }
  return { ref, target: null, workloads: [{ process: web, spec: own, tracks: [track] }] }
}

function pod(name: string, release: number, change: Partial<PodFacts> = {}): PodFacts {
  const running = { running: true, ready: true, phase: 'Running', startedAt: NOW, createdAt: NOW }
  return { ...podFacts({}), name, process: 'web', release, kind: 'service', ...running, ...change }
}

function deployment(
  release: number,
  replicas: number,
  change: Partial<WorkloadFacts> = {},
): WorkloadFacts {
  const facts = { process: 'web', release, replicas, available: replicas, settled: true }
  return { ...workloadFacts({}), ...facts, ...change }
}

function route(change: Partial<RouteFacts>): RouteFacts {
  const facts = { process: 'web', hosts: ['shop.test'], gateway: 'gateways/main' }
  return { ...routeFacts({}, NOW), ...facts, seen: 'now', accepted: true, ...change }
}

function look(target: DesiredApp, change: Partial<Observation>): WorkloadStatus {
  const { workloads } = actualApp(ref, target, {
    pods: [],
    workloads: [],
    applied: true,
    problem: null,
    unreachable: null,
    diagnoses: new Map([['web@2', ['why']]]),
    answerOf: () => null,
    everReady: () => false,
    now: NOW,
    ...change,
  })
  const [workload] = workloads
  assert.ok(workload)
  return workload
}

describe('status of an app on a cluster', () => {
  test('progresses, is routed, converges', () => {
    const target = desired(2, 1)
    const old = pod('a', 1)
    const fresh = pod('b', 2)
    const objects = [deployment(2, 1)]
    assert.equal(look(target, { pods: [old], workloads: objects }).phase, 'progressing')
    const both = look(target, { pods: [old, fresh], workloads: objects })
    assert.deepEqual([both.phase, both.ready, both.old], ['routed', 1, 1])
    const done = look(target, { pods: [fresh], workloads: objects })
    assert.deepEqual([done.phase, done.ready, done.old], ['converged', 1, 0])
    assert.equal(look(target, { pods: [fresh, pod('c', 2)], workloads: objects }).phase, 'routed')
  })

  test('is not there yet while something is not applied, not proven or not settled', () => {
    const target = desired(2, 1)
    const pods = [pod('b', 2)]
    const workloads = [deployment(2, 1)]
    assert.equal(look(target, { pods, workloads, applied: false }).phase, 'progressing')
    const unproven = [deployment(2, 1, { available: 0 })]
    assert.equal(look(target, { pods, workloads: unproven }).phase, 'progressing')
    const unseen = [deployment(2, 1, { settled: false })]
    assert.equal(look(target, { pods, workloads: unseen }).phase, 'routed')
  })

  test('fails with a hopeless copy or a refusal that lasts, and says why', () => {
    const target = desired(2, 2)
    const late = pod('b', 2, { ready: false, startedAt: NOW - 30_000 })
    const failing = look(target, { pods: [pod('a', 2), late] })
    assert.deepEqual([failing.phase, failing.diagnosis], ['failing', ['why']])
    const refused = { refusal: 'exceeded quota', refusedSince: NOW - 10_000 }
    const workloads = [deployment(2, 2, refused)]
    assert.equal(look(target, { pods: [pod('a', 2)], workloads }).phase, 'failing')
    const now = [deployment(2, 2, { ...refused, refusedSince: NOW })]
    assert.equal(look(target, { pods: [pod('a', 2)], workloads: now }).phase, 'progressing')
  })

  test('a problem with an object fails its own process alone', () => {
    const error = (process: string): FairwayError =>
      new FairwayError('CLUSTER_REJECTED', 'no', { hint: 'do', details: { process } })
    const seen = { pods: [pod('b', 2)], workloads: [deployment(2, 1)] }
    const own = look(desired(2, 1), { ...seen, problem: { error: error('web'), lasting: true } })
    assert.deepEqual([own.phase, own.diagnosis], ['failing', ['no', 'do']])
    const others = look(desired(2, 1), { ...seen, problem: { error: error('api'), lasting: true } })
    assert.deepEqual([others.phase, others.diagnosis], ['converged', []])
  })

  test('is routed once its Gateway has followed the route, and fails where that does not come', () => {
    const seen = { pods: [pod('b', 2)], workloads: [deployment(2, 1)] }
    const phase = (...routes: readonly RouteFacts[]): string =>
      look(desired(2, 1), { ...seen, routes }).phase
    assert.equal(phase(route({})), 'converged')
    assert.equal(phase(route({ seen: 'before' })), 'progressing')
    assert.equal(phase(route({ seen: 'before', process: 'api' })), 'converged')
    assert.equal(phase(route({ seen: 'before', deleting: true })), 'converged')
    const routes = [route({ seen: 'before', heardAt: NOW - 60_000 })]
    const stuck = look(desired(2, 1), { ...seen, routes })
    assert.equal(stuck.phase, 'failing')
    assert.match(stuck.diagnosis.join(), /gateways\/main has not followed the last change/)
    assert.equal(stuck.warnings, undefined)
  })

  test('a route that the Gateway refuses is a warning: nothing else would become of it', () => {
    const seen = { pods: [pod('b', 2)], workloads: [deployment(2, 1)] }
    const routes = [route({ accepted: false, refusal: 'NoMatchingListenerHostname: no' })]
    const refused = look(desired(2, 1), { ...seen, routes })
    assert.deepEqual([refused.phase, refused.diagnosis], ['converged', []])
    assert.match(refused.warnings?.join() ?? '', /refuses: NoMatchingListenerHostname: no/)
  })

  test('follows the scaler where there is one, and expects no copies of a cron', () => {
    const autoscale = { cpuPercent: 70, memoryPercent: null }
    const scaled = look(desired(2, 1, { autoscale }), {
      pods: [pod('a', 2), pod('b', 2)],
      workloads: [deployment(2, 2)],
    })
    assert.deepEqual([scaled.phase, scaled.desired], ['converged', 2])
    assert.equal(look(desired(2, 0, { type: 'cron' }), {}).phase, 'converged')
  })
})
