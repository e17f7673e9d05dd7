import type { ClusterClient } from './cluster-client.ts'
import { numberAt, textAt, timeAt, type Json } from './json-value.ts'
import { KINDS } from './kinds.ts'

export interface PodEvent {
  readonly object: string
  readonly type: string
  readonly reason: string
  readonly message: string
  readonly count: number
  readonly at: number
}

/** What the cluster noted about the objects of a namespace in the last hour, oldest first. */
export async function readEvents(
  client: Pick<ClusterClient, 'list'>,
  namespace: string,
  signal?: AbortSignal,
): Promise<readonly PodEvent[]> {
  const { items } = await client.list(KINDS.Event, { namespace, limit: 500 }, signal)
  return items.map(podEvent).sort((a, b) => a.at - b.at)
}

/** Last failed probe of a pod, in the words of the machine engine: 'GET /ready answered 503', 'port 8080 refuses connections'. */
export function probeAnswer(
  events: readonly PodEvent[],
  pod: string,
  probe: string,
): string | null {
  const found = events.findLast(
    ({ object, reason, message }) =>
      object === pod && reason === 'Unhealthy' && /probe (failed|errored)/i.test(message),
  )
  return found === undefined ? null : describeProbe(found.message, probe)
}

/** Events by which autoscalers say that a node is on its way for a pod, and that none is: cluster-autoscaler, then Karpenter. */
const NODE_COMES: ReadonlySet<string> = new Set(['TriggeredScaleUp', 'Nominated'])
const NO_NODE_COMES: ReadonlySet<string> = new Set(['NotTriggerScaleUp', 'FailedToScaleUp'])

/** What an autoscaler said last of a pod that no node takes; null where it brings none, or there is no autoscaler. */
export function comingNode(events: readonly PodEvent[], pod: string): string | null {
  const last = events.findLast(
    ({ object, reason }) => object === pod && (NODE_COMES.has(reason) || NO_NODE_COMES.has(reason)),
  )
  return last !== undefined && NODE_COMES.has(last.reason) ? last.message : null
}

export function describeProbe(message: string, probe: string): string {
  const port = /:(\d+)\b[^:]*: connect: connection refused/.exec(message)?.[1]
  if (/connection refused/.test(message))
    return `port ${port ?? ''} refuses connections`.replace('  ', ' ')
  const status = /statuscode: (\d+)/.exec(message)?.[1]
  if (status !== undefined) return `${probe} answered ${status}`
  if (/context deadline exceeded|Client\.Timeout|i\/o timeout/.test(message))
    return `${probe} did not answer in time`
  return message.replace(/^\w+ probe (failed|errored)( and resulted in \w+ state)?: /i, '')
}

// Private

function podEvent(event: Json): PodEvent {
  return {
    object: textAt(event, 'involvedObject', 'name'),
    type: textAt(event, 'type'),
    reason: textAt(event, 'reason'),
    message: textAt(event, 'message').trim(),
    count: numberAt(event, 'count') ?? 1,
    at:
      timeAt(event, 'lastTimestamp') ??
      timeAt(event, 'eventTime') ??
      timeAt(event, 'metadata', 'creationTimestamp') ??
      0,
  }
}
