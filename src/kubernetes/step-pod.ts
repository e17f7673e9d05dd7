import type { ClusterClient } from './cluster-client.ts'
import { WatchExpired } from './cluster-client.ts'
import { at, listAt, named, numberAt, textAt, type Json } from './json-value.ts'
import { KINDS } from './kinds.ts'
import { RECEIVER, SENDER, STEP, stepSelector, TOO_MUCH } from './plan-build-step.ts'

const WATCH_SECONDS = 300

/** What the pod of a build step says of itself. */
export interface StepPod {
  readonly name: string
  /** The first container waits for the inputs. */
  readonly waitsForInputs: boolean
  /** The step's container has begun, or has ended already. */
  readonly hasBegun: boolean
  readonly end: StepEnd | null
  /** Why it has not begun, in the cluster's words; '' where there is nothing to say. */
  readonly waiting: string
  /** Waiting longer will not help. */
  readonly hopeless: boolean
}

export interface StepEnd {
  readonly code: number | null
  readonly reason: 'exited' | 'oom' | 'disk' | 'lost'
  /** Of a pod that was lost. */
  readonly message: string
}

/** The pod of a step as it changes; null before there is one. Ends with the signal only, by throwing its reason. */
export async function* stepPods(
  client: Pick<ClusterClient, 'list' | 'watch'>,
  namespace: string,
  step: string,
  signal: AbortSignal,
): AsyncGenerator<StepPod | null> {
  const options = { namespace, labels: stepSelector(step) }
  for (;;) {
    signal.throwIfAborted()
    const { items, resourceVersion } = await client.list(KINDS.Pod, options, signal)
    yield items[0] === undefined ? null : stepPod(items[0])
    const from = { ...options, resourceVersion, seconds: WATCH_SECONDS }
    try {
      for await (const { type, object } of client.watch(KINDS.Pod, from, signal)) {
        if (type === 'DELETED') yield gone(object)
        else if (type !== 'BOOKMARK') yield stepPod(object)
      }
    } catch (error) {
      if (!(error instanceof WatchExpired)) throw error
    }
  }
}

export function stepPod(pod: Json): StepPod {
  const step = stateOf(pod, 'containerStatuses', STEP)
  const receiver = stateOf(pod, 'initContainerStatuses', RECEIVER)
  const waiting = [receiver, step].map((state) => at(state, 'waiting')).find(isHeldUp)
  return {
    name: textAt(pod, 'metadata', 'name'),
    waitsForInputs: at(receiver, 'running') !== undefined,
    hasBegun: at(step, 'running') !== undefined || at(step, 'terminated') !== undefined,
    end: endOf(pod, step, receiver),
    waiting: waiting === undefined ? unscheduled(pod) : sentence(waiting),
    hopeless: HOPELESS.has(textAt(waiting, 'reason')),
  }
}

// Private

/** A wrong name, or an image that no node can run. Failed pulls are tried again by the kubelet. */
const HOPELESS: ReadonlySet<string> = new Set([
  'InvalidImageName',
  'CreateContainerConfigError',
  'CreateContainerError',
])

function stateOf(pod: Json, list: string, name: string): unknown {
  return at(named(listAt(pod, 'status', list), 'name', name), 'state')
}

function endOf(pod: Json, step: unknown, receiver: unknown): StepEnd | null {
  const message = textAt(pod, 'status', 'message')
  // https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/: the kubelet's own limits of disks end a pod like this.
  if (textAt(pod, 'status', 'reason') === 'Evicted')
    return { code: null, reason: /emptyDir|ephemeral/i.test(message) ? 'disk' : 'lost', message }
  const sender = at(stateOf(pod, 'containerStatuses', SENDER), 'terminated')
  if (numberAt(sender, 'exitCode') === TOO_MUCH) return { code: null, reason: 'disk', message: '' }
  const ended = at(step, 'terminated')
  const code = numberAt(ended, 'exitCode')
  if (code !== null) {
    const reason = textAt(ended, 'reason') === 'OOMKilled' ? 'oom' : 'exited'
    return { code, reason, message: '' }
  }
  const failed = numberAt(at(receiver, 'terminated'), 'exitCode') ?? 0
  if (textAt(pod, 'status', 'phase') !== 'Failed' && failed === 0) return null
  return { code: null, reason: 'lost', message: message || textAt(pod, 'status', 'reason') }
}

function gone(pod: Json): StepPod {
  const end = { code: null, reason: 'lost', message: 'its pod was deleted' } as const
  return { ...stepPod(pod), end }
}

function isHeldUp(waiting: unknown): boolean {
  const reason = textAt(waiting, 'reason')
  return !['', 'PodInitializing', 'ContainerCreating'].includes(reason)
}

function unscheduled(pod: Json): string {
  const condition = named(listAt(pod, 'status', 'conditions'), 'type', 'PodScheduled')
  return textAt(condition, 'status') === 'False' ? textAt(condition, 'message') : ''
}

function sentence(waiting: unknown): string {
  return [textAt(waiting, 'reason'), textAt(waiting, 'message')].filter((text) => text).join(': ')
}
