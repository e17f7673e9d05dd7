import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { podFacts } from './pod-facts.ts'
import { podState, type PodState } from './pod-state.ts'
import { comingNode, describeProbe, type PodEvent } from './pod-events.ts'

const T0 = Date.parse('2026-01-01T00:00:00Z')

interface Sample {
  readonly state?: object
  readonly lastState?: object
  readonly restarts?: number
  readonly conditions?: readonly object[]
  readonly phase?: string
  readonly deleting?: boolean
  readonly extra?: object
}

function look(
  sample: Sample,
  view: {
    seconds?: number
    answer?: string
    everReady?: boolean
    since?: number
    comingNode?: string
    startMs?: number
  } = {},
): PodState {
  const time = new Date(T0).toISOString()
  const facts = podFacts({
    metadata: {
      name: 'web-a-1',
      creationTimestamp: time,
      ...(sample.deleting === true ? { deletionTimestamp: time } : {}),
    },
    spec: {
      containers: [
        {
          name: 'app',
          ports: [{ containerPort: 8080 }],
          readinessProbe: { tcpSocket: { port: 8080 } },
          resources: { limits: { memory: '134217728' } },
        },
      ],
    },
    status: {
      phase: sample.phase ?? 'Running',
      conditions: sample.conditions ?? [],
      containerStatuses: [
        {
          name: 'app',
          restartCount: sample.restarts ?? 0,
          state: sample.state ?? {},
          lastState: sample.lastState ?? {},
        },
      ],
      ...sample.extra,
    },
  })
  const { seconds = 1, answer = null, everReady = false, since = 0 } = view
  const { comingNode = null, startMs = 20_000 } = view
  const now = T0 + seconds * 1000
  const began = T0 + since * 1000
  return podState(facts, { now, since: began, startMs, answer, everReady, comingNode })
}

const running = { running: { startedAt: '2026-01-01T00:00:00Z' } }
const ended = (exitCode: number, seconds: number, reason = 'Error'): object => ({
  terminated: {
    exitCode,
    reason,
    startedAt: '2026-01-01T00:00:00Z',
    finishedAt: new Date(T0 + seconds * 1000).toISOString(),
  },
})
const ready = [{ type: 'Ready', status: 'True' }]
const homeless = [
  { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/2 nodes fit' },
]

describe('state of a pod', () => {
  test('no node takes it: hopeless soon, but not while an autoscaler brings one', () => {
    const at = (seconds: number, more: { comingNode?: string; startMs?: number } = {}): PodState =>
      look({ phase: 'Pending', conditions: homeless }, { seconds, ...more })
    assert.equal(at(14).hopeless, false)
    assert.equal(at(16).hopeless, true)
    assert.equal(at(16).reason, 'no node takes it: 0/2 nodes fit')
    const comingNode = 'pod triggered scale-up: [{pool 1->2 (max: 5)}]'
    assert.equal(at(119, { comingNode }).hopeless, false)
    assert.match(at(16, { comingNode }).reason, /a node is on its way \(pod triggered .*0\/2 nodes/)
    assert.equal(at(121, { comingNode }).hopeless, true)
    assert.match(at(121, { comingNode }).reason, /did not come in time/)
    assert.equal(at(299, { comingNode, startMs: 300_000 }).hopeless, false)
  })

  test('the last word of an autoscaler counts', () => {
    const event = (object: string, reason: string, at: number): PodEvent => {
      return { object, reason, at, type: 'Normal', message: `${reason} of ${object}`, count: 1 }
    }
    const events = [
      event('a', 'NotTriggerScaleUp', 1),
      event('a', 'TriggeredScaleUp', 2),
      event('b', 'Nominated', 1),
      event('b', 'FailedScheduling', 2),
      event('c', 'TriggeredScaleUp', 1),
      event('c', 'NotTriggerScaleUp', 2),
    ]
    const said = ['a', 'b', 'c', 'd'].map((pod) => comingNode(events, pod))
    assert.deepEqual(said, ['TriggeredScaleUp of a', 'Nominated of b', null, null])
  })

  test('is told in the words of the machine engine', () => {
    assert.deepEqual(look({ state: running, conditions: ready }).state, 'ready')
    const waiting = look({ state: running }, { answer: 'port 8080 refuses connections' })
    assert.equal(waiting.state, 'starting')
    assert.equal(waiting.reason, 'waiting: port 8080 refuses connections')
    assert.equal(look({ state: running, conditions: ready, deleting: true }).state, 'draining')
    const again = look({ state: running, lastState: ended(9, 5), restarts: 1, conditions: ready })
    assert.equal(again.reason, 'restarted after exit code 9')
  })

  test('is hopeless after its deadline, also when the startup probe had it killed', () => {
    const late = look({ state: running }, { seconds: 21 })
    assert.ok(late.hopeless)
    assert.match(late.reason, /^not ready within 20 s: port 8080 does not answer yet/)
    const again = { running: { startedAt: new Date(T0 + 22_000).toISOString() } }
    const killed = look({ state: again, lastState: ended(137, 21), restarts: 1 }, { seconds: 23 })
    assert.ok(killed.hopeless)
    assert.match(killed.reason, /not ready within 20 s.*before that: killed by SIGKILL/)
  })

  test('is hopeless after three crashes in a row, and not after one of a copy that had run long', () => {
    const state = { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 20s restarting' } }
    const third = look({ state, lastState: ended(3, 1), restarts: 2 })
    assert.deepEqual(third, {
      state: 'crashed',
      reason: 'exit code 3, next start after 20s',
      hopeless: true,
    })
    assert.equal(look({ state, lastState: ended(3, 1), restarts: 1 }).hopeless, false)
    assert.equal(look({ state, lastState: ended(3, 600), restarts: 9 }).hopeless, false)
  })

  test('names memory, pulls and the scheduler', () => {
    const oom = look({ state: ended(137, 3, 'OOMKilled') })
    assert.equal(oom.reason, 'out of memory (limit 128 MiB)')
    const pull = { waiting: { reason: 'ErrImagePull', message: 'r/x@sha256:1: not found' } }
    assert.equal(look({ state: pull }).hopeless, false)
    assert.ok(look({ state: pull }, { seconds: 30 }).hopeless)
    assert.equal(look({ state: pull }, { seconds: 30, since: 25 }).hopeless, false)
    for (const message of [
      'failed to do request: Head "http://r/v2/x/manifests/y?ns=r": EOF',
      'dial tcp 10.0.0.1:5000: connect: connection refused',
      'unexpected status from HEAD request to http://r/v2/x: 503 Service Unavailable',
      // A node that had not received its login in time.
      'failed to pull and unpack image "r/x@sha256:1": pulling from host r failed with status code [manifests sha256:1]: 401 Unauthorized',
      // Before Kubernetes 1.31 this is all that is told between two attempts.
      'Back-off pulling image "r/x@sha256:1"',
    ]) {
      const reason = message.startsWith('Back-off') ? 'ImagePullBackOff' : 'ErrImagePull'
      const silent = { waiting: { reason, message } }
      assert.equal(look({ state: silent }, { seconds: 50 }).hopeless, false, message)
      assert.equal(look({ state: silent }, { seconds: 100, since: 60 }).hopeless, false, message)
      assert.ok(look({ state: silent }, { seconds: 70 }).hopeless, message)
    }
    const config = (message: string): PodState =>
      look(
        { state: { waiting: { reason: 'CreateContainerConfigError', message } } },
        { seconds: 30 },
      )
    assert.ok(config('secret "values" not found').hopeless)
    const late = 'failed to sync secret cache: timed out waiting for the condition'
    assert.equal(config(late).hopeless, false)
    const conditions = [
      {
        type: 'PodScheduled',
        status: 'False',
        reason: 'Unschedulable',
        message: '0/2 nodes: memory',
      },
    ]
    const nowhere = look({ conditions, phase: 'Pending' }, { seconds: 30 })
    assert.deepEqual(nowhere, {
      state: 'starting',
      reason: 'no node takes it: 0/2 nodes: memory',
      hopeless: true,
    })
    const evicted = look({
      phase: 'Failed',
      extra: { reason: 'Evicted', message: 'low on memory' },
    })
    assert.deepEqual([evicted.state, evicted.reason], ['crashed', 'Evicted: low on memory'])
  })

  test('a copy that was ready and is not any more is unready', () => {
    const conditions = [
      { type: 'Ready', status: 'False', lastTransitionTime: new Date(T0 + 30_000).toISOString() },
    ]
    const lost = look(
      { state: running, conditions },
      { seconds: 35, everReady: true, answer: 'no' },
    )
    assert.deepEqual(lost, { state: 'unready', reason: 'no', hopeless: false })
  })

  test('kubelet’s words for probes become ours', () => {
    const cases = [
      [
        'Startup probe failed: dial tcp 10.1.2.3:8080: connect: connection refused',
        'port 8080 refuses connections',
      ],
      ['Readiness probe failed: HTTP probe failed with statuscode: 503', 'GET /ready answered 503'],
      [
        'Readiness probe failed: Get "http://10.1.2.3:8080/ready": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
        'GET /ready did not answer in time',
      ],
    ] as const
    for (const [message, words] of cases) assert.equal(describeProbe(message, 'GET /ready'), words)
  })
})

describe('a copy that has yet to get its values', () => {
  const begun = { running: { startedAt: new Date(T0).toISOString() } }
  const waiting = { waiting: { reason: 'PodInitializing' } }
  const withStatus = (status: object): Sample => ({
    state: waiting,
    phase: 'Pending',
    extra: { initContainerStatuses: [{ name: 'secrets', ...status }] },
  })
  const refused = { terminated: { exitCode: 1, message: 'waits\nrefused: not yours\n' } }

  test('asks, and while that takes long says that it has no answer', () => {
    const soon = look(withStatus({ state: begun }), { seconds: 2 })
    assert.equal(soon.reason, 'asks the server for its secrets')
    const late = look(withStatus({ state: begun }), { seconds: 30, startMs: 40_000 })
    assert.match(late.reason, /no answer/)
    assert.equal(late.hopeless, false)
    assert.equal(
      look(withStatus({ state: begun }), { seconds: 90, startMs: 40_000 }).hopeless,
      true,
    )
    // The server itself was away.
    const back = look(withStatus({ state: begun }), {
      seconds: 90,
      startMs: 40_000,
      since: 80,
    })
    assert.equal(back.hopeless, false)
  })

  test('that was refused says why, and the second time counts', () => {
    const first = look(withStatus({ state: refused, restartCount: 0 }))
    assert.deepEqual(first, {
      state: 'starting',
      reason: 'no secrets: refused: not yours',
      hopeless: false,
    })
    const backOff = { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } }
    const again = look(withStatus({ state: backOff, lastState: refused, restartCount: 1 }))
    assert.equal(again.reason, 'no secrets: refused: not yours')
    assert.equal(again.hopeless, true)
  })

  test('whose own program cannot be pulled says so', () => {
    const pull = { waiting: { reason: 'ErrImagePull', message: 'not found' } }
    const { reason, hopeless } = look(withStatus({ state: pull }), { seconds: 20 })
    assert.match(reason, /ErrImagePull: not found/)
    assert.equal(hopeless, true)
  })

  test('is like any other once it has them', () => {
    const done = { terminated: { exitCode: 0 } }
    assert.equal(look(withStatus({ state: done })).reason, 'starting')
  })
})

describe('a copy beside which an identity is kept', () => {
  const running = { running: { startedAt: new Date(T0).toISOString() } }
  const keeper = (status: object, more: object = {}): object => ({
    initContainerStatuses: [{ name: 'identity', ...status }],
    ...more,
  })

  test('begins when the helper has what it asks for, and says so until then', () => {
    const waiting = { waiting: { reason: 'PodInitializing' } }
    const before = { state: waiting, phase: 'Pending' } as const
    const asks = look({ ...before, extra: keeper({ state: running, started: false }) })
    assert.equal(asks.reason, 'asks the server for its identity')
    const has = look({ ...before, extra: keeper({ state: running, started: true }) })
    assert.equal(has.reason, 'starting')
  })

  const READY = { type: 'Ready', status: 'True' }

  test('is what its app is, whatever becomes of the helper later', () => {
    const oom = { terminated: { exitCode: 137, reason: 'OOMKilled' } }
    const extra = keeper({ state: running, lastState: oom, started: false, restartCount: 1 })
    assert.equal(look({ state: running, conditions: [READY], extra }).state, 'ready')
    const ended = { terminated: { exitCode: 3, finishedAt: new Date(T0).toISOString() } }
    assert.equal(look({ state: ended, phase: 'Failed', extra }).reason, 'exit code 3')
  })
})
