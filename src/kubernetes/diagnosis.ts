import type { LogLine } from '../model/runner.ts'
import type { PodEvent } from './pod-events.ts'
import type { PodFacts } from './pod-facts.ts'
import type { PodState } from './pod-state.ts'

export interface Evidence {
  readonly pod: PodFacts | null
  readonly state: PodState | null
  /** Why the cluster makes no copies; '' = it does. */
  readonly refusal: string
  readonly events: readonly PodEvent[]
  /** Of the copy that ended, or of the running one. */
  readonly lines: readonly Pick<LogLine, 'text' | 'stream'>[]
}

/** Events that say nothing new beside the copy's own state. */
const USUAL = new Set([
  'Scheduled',
  'Pulled',
  'Pulling',
  'Created',
  'Started',
  'Unhealthy',
  'BackOff',
])
const EVENTS = 4

/** Pure: what a person needs to see when a copy does not become ready, in the order in which one asks. */
export function diagnosis(process: string, evidence: Evidence): readonly string[] {
  const { pod, state, refusal, events, lines } = evidence
  const refused = refusal === '' ? [] : [`${process}: no copy can be made: ${refusal}`]
  if (pod === null || state === null) return refused
  const told = events
    .filter(
      ({ object, type, reason }) => object === pod.name && type !== 'Normal' && !USUAL.has(reason),
    )
    .map(({ reason, message }) => `${reason}: ${message}`)
  const output = lines.filter(({ stream }) => stream !== 'platform')
  return [
    ...refused,
    `${process} (${pod.name}): ${state.reason}`,
    ...(pod.command.length === 0 ? [] : [`command: ${pod.command.join(' ')}`]),
    ...(pod.node === '' ? [] : [`node: ${pod.node}`]),
    ...[...new Set(told)].slice(-EVENTS),
    ...(output.length > 0
      ? ['last lines:', ...output.map(({ text }) => `  ${text}`)]
      : pod.startedAt === null && pod.restarts === 0
        ? []
        : ['it printed nothing']),
  ]
}
