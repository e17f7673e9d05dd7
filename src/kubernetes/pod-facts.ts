import type { ExitFacts } from '../model/instance.ts'
import { refKey } from '../model/names.ts'
import { at, listAt, named, numberAt, recordAt, textAt, timeAt, type Json } from './json-value.ts'
import { labelOf, LABELS, refOf } from './labels.ts'
import type { InstanceNeed } from '../model/instance-secrets.ts'
import type { Cached } from './watch-cache.ts'

/** What the engine remembers of a pod: enough to say what it does and why, nothing more. */
export interface PodFacts extends Cached {
  /** `app/environment`. */
  readonly app: string
  readonly process: string
  readonly release: number
  readonly slot: string
  /** 'service' for copies of a process, 'job' for release commands and `fairway run`, 'cron' for runs by schedule. */
  readonly kind: string
  /** Name of the Job for pods of jobs. */
  readonly job: string
  readonly phase: string
  readonly ready: boolean
  readonly deleting: boolean
  readonly createdAt: number
  /** When its main container started; null = it did not yet. */
  readonly startedAt: number | null
  readonly address: string
  readonly port: number | null
  readonly node: string
  /** The scheduler's words where it finds no node. */
  readonly unschedulable: string
  /** Why the main container waits: ImagePullBackOff, CrashLoopBackOff, ContainerCreating. */
  readonly waiting: { readonly reason: string; readonly message: string } | null
  /** Null where a copy needs nothing of the server, or has it already. */
  readonly preparing: Preparing | null
  readonly running: boolean
  readonly restarts: number
  /** How it ended now, or the time before, and how long it had run. */
  readonly exit: ExitFacts | null
  readonly ranMs: number
  /** Since when it is not ready; null while it is. */
  readonly unreadySince: number | null
  /** The pod's own words: Evicted, NodeLost, Preempted. */
  readonly reason: string
  readonly message: string
  /** 'GET /healthz' or 'port 8080'. */
  readonly probe: string
  readonly memoryLimit: string
  readonly container: string
  readonly command: readonly string[]
}

/** The program of ours that the copy's own command waits for. */
export interface Preparing {
  /** What it asks for; also the name of its container. */
  readonly need: InstanceNeed
  readonly startedAt: number | null
  readonly restarts: number
  /** Why it does not run. */
  readonly waiting: { readonly reason: string; readonly message: string } | null
  /** Its own words when it ended without what it asked for, now or the time before; '' = it did not. */
  readonly failure: string
}

export function podFacts(pod: Json): PodFacts {
  const ref = refOf(pod)
  const [container] = listAt(pod, 'spec', 'containers')
  const name = textAt(container, 'name')
  const status = named(listAt(pod, 'status', 'containerStatuses'), 'name', name)
  const conditions = listAt(pod, 'status', 'conditions')
  const ready = named(conditions, 'type', 'Ready')
  const isReady = textAt(ready, 'status') === 'True'
  const scheduled = named(conditions, 'type', 'PodScheduled')
  return {
    namespace: textAt(pod, 'metadata', 'namespace'),
    name: textAt(pod, 'metadata', 'name'),
    uid: textAt(pod, 'metadata', 'uid'),
    resourceVersion: textAt(pod, 'metadata', 'resourceVersion'),
    app: ref === null ? '' : refKey(ref),
    process: labelOf(pod, LABELS.process),
    release: Number(labelOf(pod, LABELS.release)),
    slot: labelOf(pod, LABELS.slot),
    kind: labelOf(pod, LABELS.kind),
    job: labelOf(pod, 'batch.kubernetes.io/job-name'),
    phase: textAt(pod, 'status', 'phase'),
    ready: isReady,
    deleting: timeAt(pod, 'metadata', 'deletionTimestamp') !== null,
    createdAt: timeAt(pod, 'metadata', 'creationTimestamp') ?? 0,
    address: textAt(pod, 'status', 'podIP'),
    port: numberAt(listAt(container, 'ports')[0], 'containerPort'),
    node: textAt(pod, 'spec', 'nodeName'),
    unschedulable:
      textAt(scheduled, 'reason') === 'Unschedulable' ? textAt(scheduled, 'message') : '',
    ...containerFacts(status),
    preparing: at(status, 'state', 'running') === undefined ? preparing(pod) : null,
    unreadySince: isReady ? null : timeAt(ready, 'lastTransitionTime'),
    reason: textAt(pod, 'status', 'reason'),
    message: textAt(pod, 'status', 'message'),
    probe: probeOf(container),
    memoryLimit: textAt(container, 'resources', 'limits', 'memory'),
    container: name,
    command: [...listAt(container, 'command'), ...listAt(container, 'args')].map(String),
  }
}

// Private

function containerFacts(
  status: Json | null,
): Pick<PodFacts, 'startedAt' | 'waiting' | 'running' | 'restarts' | 'exit' | 'ranMs'> {
  const waiting = at(status, 'state', 'waiting')
  const ended = at(status, 'state', 'terminated') ?? at(status, 'lastState', 'terminated')
  return {
    startedAt:
      timeAt(status, 'state', 'running', 'startedAt') ??
      timeAt(status, 'state', 'terminated', 'startedAt'),
    waiting:
      waiting === undefined
        ? null
        : { reason: textAt(waiting, 'reason'), message: textAt(waiting, 'message') },
    running: at(status, 'state', 'running') !== undefined,
    restarts: numberAt(status, 'restartCount') ?? 0,
    exit: ended === undefined ? null : exitFacts(ended),
    ranMs: (timeAt(ended, 'finishedAt') ?? 0) - (timeAt(ended, 'startedAt') ?? 0),
  }
}

function preparing(pod: Json): Preparing | null {
  const statuses = listAt(pod, 'status', 'initContainerStatuses')
  for (const need of NEEDS) {
    const found = preparingOf(need, named(statuses, 'name', need))
    if (found !== null) return found
  }
  return null
}

/** In the order in which they run. */
const NEEDS = ['secrets', 'identity'] as const

/** One ends when it has what it fetches; the other stays, and its startup probe says when all is in place. */
function preparingOf(need: InstanceNeed, status: Json | null): Preparing | null {
  const isDone =
    need === 'secrets'
      ? at(status, 'state', 'terminated', 'exitCode') === 0
      : at(status, 'started') === true
  if (status === null || isDone) return null
  const { startedAt, restarts, waiting } = containerFacts(status)
  const ends = [at(status, 'state', 'terminated'), at(status, 'lastState', 'terminated')]
  const failed = ends.find((end) => end !== undefined && numberAt(end, 'exitCode') !== 0)
  const words = textAt(failed, 'message').trim().split('\n').at(-1) ?? ''
  const failure = failed === undefined ? '' : words === '' ? textAt(failed, 'reason') : words
  return { need, startedAt, restarts, waiting, failure }
}

const SIGNALS: Readonly<Record<number, string>> = {
  6: 'SIGABRT',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  15: 'SIGTERM',
}

/** Runtimes report a death by signal as 128 + its number. */
function exitFacts(ended: unknown): ExitFacts {
  const code = numberAt(ended, 'exitCode')
  const reason = textAt(ended, 'reason')
  const finishedAt = timeAt(ended, 'finishedAt') ?? 0
  if (reason === 'OOMKilled')
    return { code: null, signal: 'SIGKILL', reason: 'oom', at: finishedAt }
  const signal = SIGNALS[numberAt(ended, 'signal') ?? (code ?? 0) - 128]
  if (signal !== undefined) return { code: null, signal, reason: 'killed', at: finishedAt }
  if (reason === 'ContainerStatusUnknown')
    return { code: null, signal: null, reason: 'unknown', at: finishedAt }
  return { code, signal: null, reason: 'exited', at: finishedAt }
}

/** 'GET /healthz', 'port 8080' or ''. */
function probeOf(container: unknown): string {
  const readiness = recordAt(container, 'readinessProbe')
  const path = textAt(readiness, 'httpGet', 'path')
  if (path !== '') return `GET ${path}`
  const port = at(readiness, 'tcpSocket', 'port')
  const declared = numberAt(listAt(container, 'ports')[0], 'containerPort')
  const number = typeof port === 'number' ? port : declared
  return port === undefined || number === null ? '' : `port ${String(number)}`
}
