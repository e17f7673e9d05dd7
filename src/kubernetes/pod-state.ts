import type { ExitFacts, Instance, InstanceState } from '../model/instance.ts'
import type { AppRef } from '../model/names.ts'
import { parseProcessName } from '../model/names.ts'
import type { PodFacts, Preparing } from './pod-facts.ts'

/** Waiting for these ends only when a person changes something. */
const HOPELESS = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'RegistryUnavailable',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
])
/** As many crashes as on one machine make a release hopeless. */
const CRASHES_UNTIL_FAILING = 3
/** A copy that ran this long was fine: what ends it later is no failed start. */
const PROVEN_MS = 60_000
/** Kubelet counts whole seconds and probes. */
const PROBE_ROUNDING_MS = 1_500
/** What asking again does not change: the image, its name or the container is wrong. */
const CERTAIN_PATIENCE_MS = 10_000
/**
 * The node asks again after 10, 20 and 40 seconds, and its next answer may be another: the registry was away (with us, where we are it), or a node under
 * load had not received its login in time and asked without one.
 */
const PULL_PATIENCE_MS = 60_000
const PULLS = new Set(['ErrImagePull', 'ImagePullBackOff', 'RegistryUnavailable'])
const IMAGE_IS_WRONG = /\b(not found|manifest unknown|name unknown|no match for platform)\b/i
/** Kubelet's words for a Secret or ConfigMap that it has yet to receive. */
const NOT_RECEIVED = /\bfailed to sync (secret|configmap) cache\b/
/** A pod may be leaving, and an autoscaler says within this time whether it brings a node. */
const SCHEDULE_PATIENCE_MS = 15_000
const REFUSALS_UNTIL_FAILING = 2
/** Values come in less than a second where nothing is in the way. */
const SLOW_FETCH_MS = 10_000
const FETCH_PATIENCE_MS = 60_000
/** What providers need for a machine, and what rollouts allow for beyond the app's own deadlines. */
const NODE_PATIENCE_MS = 120_000

export interface PodState {
  readonly state: InstanceState
  /** For people, in the words of the machine engine. '' where there is nothing to say. */
  readonly reason: string
  /** Trying on as it is will not help. */
  readonly hopeless: boolean
}

export interface PodView {
  readonly now: number
  /** Longest time from start to ready. */
  readonly startMs: number
  /** The last failed probe in words, where it is known. */
  readonly answer: string | null
  /** It was ready at some time. */
  readonly everReady: boolean
  /** The words of an autoscaler that is bringing a node for it; null or absent = none does. */
  readonly comingNode?: string | null
  /** When we began to look; nothing that was in the way before is held against a pod. */
  readonly since?: number
}

/** Pure: what a pod does and why. */
export function podState(pod: PodFacts, view: PodView): PodState {
  if (pod.deleting)
    return { state: pod.ready ? 'draining' : 'stopping', reason: 'leaving', hopeless: false }
  if (pod.phase === 'Failed' || pod.phase === 'Succeeded') return ended(pod)
  if (pod.unschedulable !== '') return unscheduled(pod, view)
  if (pod.preparing !== null) return preparing(pod, pod.preparing, view)
  if (pod.waiting !== null) return waiting(pod, pod.waiting, view)
  if (!pod.running) return pod.exit === null ? STARTING : crashed(pod)
  if (!pod.ready) return notReady(pod, view)
  const reason = pod.restarts > 0 ? `restarted after ${lastExit(pod)}` : ''
  return { state: 'ready', reason, hopeless: false }
}

export function toInstance(
  pod: PodFacts,
  { state, reason }: PodState,
  ref: AppRef,
  track: Instance['track'],
): Instance {
  return {
    id: pod.name,
    ref,
    process: parseProcessName(pod.process),
    release: pod.release,
    track,
    state,
    reason,
    address: pod.address === '' || pod.port === null ? null : { host: pod.address, port: pod.port },
    startedAt: pod.startedAt ?? pod.createdAt,
    restarts: pod.restarts,
    exit: pod.running && state !== 'crashed' ? null : pod.exit,
  }
}

/** Why a copy has no values or no identity, in words; null where it is not known. */
export function helperFailure({ preparing }: Pick<PodFacts, 'preparing'>): string | null {
  if (preparing === null || preparing.failure === '') return null
  return `no ${preparing.need}: ${preparing.failure}`
}

/** For people: 'exit code 3', 'killed by SIGSEGV', 'out of memory (limit 128 MiB)'. */
export function describeExit(exit: ExitFacts, pod: Pick<PodFacts, 'memoryLimit'>): string {
  if (exit.reason === 'oom') return `out of memory (limit ${readableMemory(pod.memoryLimit)})`
  if (exit.signal !== null) return `killed by ${exit.signal}`
  return exit.code === null ? 'ended while nobody looked' : `exit code ${String(exit.code)}`
}

// Private

const STARTING: PodState = Object.freeze({ state: 'starting', reason: 'starting', hopeless: false })

function ended(pod: PodFacts): PodState {
  const why = pod.exit === null ? (helperFailure(pod) ?? '') : lastExit(pod)
  const parts = [pod.reason, pod.message, why]
  const reason = parts.filter((text) => text !== '').join(': ')
  return { state: pod.phase === 'Failed' ? 'crashed' : 'exited', reason, hopeless: false }
}

/** A node that an autoscaler brings takes minutes: the app's own deadline for starting holds, where it is long enough for one. */
function unscheduled(pod: PodFacts, { now, startMs, comingNode = null }: PodView): PodState {
  const waited = now - pod.createdAt
  if (comingNode !== null) {
    const hopeless = waited > Math.max(startMs, NODE_PATIENCE_MS)
    const why = hopeless ? 'did not come in time' : 'is on its way'
    const reason = `a node ${why} (${comingNode}); none takes it yet: ${pod.unschedulable}`
    return { state: 'starting', reason, hopeless }
  }
  const hopeless = waited > SCHEDULE_PATIENCE_MS
  return { state: 'starting', reason: `no node takes it: ${pod.unschedulable}`, hopeless }
}

function waiting(
  pod: PodFacts,
  { reason, message }: { readonly reason: string; readonly message: string },
  { now, since = 0 }: PodView,
): PodState {
  if (reason === 'CrashLoopBackOff') return crashed(pod)
  if (!HOPELESS.has(reason)) return STARTING
  const text = message === '' ? reason : `${reason}: ${message}`
  const isCertain = PULLS.has(reason) ? IMAGE_IS_WRONG.test(message) : !NOT_RECEIVED.test(message)
  const patience = isCertain ? CERTAIN_PATIENCE_MS : PULL_PATIENCE_MS
  const hopeless = now - Math.max(pod.createdAt, since) > patience
  return { state: 'starting', reason: text, hopeless }
}

/** A refusal may come from a server that has not heard of the release yet: its program asks for a while, and what it says at its second end counts. */
function preparing(pod: PodFacts, own: Preparing, view: PodView): PodState {
  const refused = helperFailure(pod)
  if (refused !== null)
    return {
      state: 'starting',
      reason: refused,
      hopeless: own.restarts + 1 >= REFUSALS_UNTIL_FAILING,
    }
  if (own.waiting !== null) return waiting(pod, own.waiting, view)
  const asked = view.now - Math.max(own.startedAt ?? view.now, view.since ?? 0)
  const hopeless = asked > Math.max(view.startMs, FETCH_PATIENCE_MS)
  const how = asked > SLOW_FETCH_MS ? ' and has no answer yet' : ''
  return { state: 'starting', reason: `asks the server for its ${own.need}${how}`, hopeless }
}

function crashed(pod: PodFacts): PodState {
  const pause = /back-off (\S+)/.exec(pod.waiting?.message ?? '')?.[1]
  const reason = `${lastExit(pod)}${pause === undefined ? '' : `, next start after ${pause}`}`
  // The count of restarts grows with the next start: the crash that it waits after is not in it.
  const hopeless = pod.ranMs < PROVEN_MS && pod.restarts + 1 >= CRASHES_UNTIL_FAILING
  return { state: 'crashed', reason, hopeless }
}

function notReady(pod: PodFacts, view: PodView): PodState {
  const { now, startMs, answer, everReady } = view
  const began = pod.startedAt ?? pod.createdAt
  const lost = everReady && (pod.unreadySince ?? 0) > began ? pod.unreadySince : null
  const state = lost === null ? 'starting' : 'unready'
  const look = answer ?? `${pod.probe === '' ? 'it' : pod.probe} does not answer yet`
  const before = pod.restarts === 0 ? '' : `; before that: ${lastExit(pod)}`
  if (now - (lost ?? began) >= startMs || killedLate(pod, view)) {
    const seconds = String(Math.round(startMs / 1000))
    return { state, reason: `not ready within ${seconds} s: ${look}${before}`, hopeless: true }
  }
  if (lost !== null) return { state, reason: look, hopeless: false }
  const hopeless = pod.ranMs < PROVEN_MS && pod.restarts >= CRASHES_UNTIL_FAILING
  return { state, reason: `waiting: ${look}${before}`, hopeless }
}

/** A startup probe that fails to the end kills the container, whose next life begins to count anew. */
function killedLate(pod: PodFacts, { startMs, everReady }: PodView): boolean {
  return !everReady && pod.restarts > 0 && pod.ranMs >= startMs - PROBE_ROUNDING_MS
}

function lastExit(pod: PodFacts): string {
  return pod.exit === null ? 'a crash' : describeExit(pod.exit, pod)
}

const UNITS: Readonly<Record<string, string>> = { Ki: 'KiB', Mi: 'MiB', Gi: 'GiB' }

function readableMemory(quantity: string): string {
  const [, number, unit] = /^(\d+)(Ki|Mi|Gi)$/.exec(quantity) ?? []
  if (number !== undefined) return `${number} ${UNITS[unit ?? ''] ?? ''}`
  const bytes = Number(quantity)
  return Number.isNaN(bytes) ? quantity : `${String(Math.round(bytes / 1_048_576))} MiB`
}
