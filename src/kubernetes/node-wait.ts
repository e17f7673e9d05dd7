import type { Clock } from '../model/clock.ts'
import type { ClusterClient } from './cluster-client.ts'
import { comingNode, readEvents } from './pod-events.ts'
import type { PodFacts } from './pod-facts.ts'

export interface NodeWaitOptions {
  readonly client: Pick<ClusterClient, 'list'>
  readonly clock: Clock
  /** Told once of each new word. */
  readonly tell: (pod: PodFacts, text: string) => void
}

/** An autoscaler has a moment to look; after that its events are read this often. */
const LOOK_MS = 5_000

/** What an autoscaler says of the one pod of a run that no node takes. */
export class NodeWait {
  readonly #options: NodeWaitOptions
  #nextAt = 0
  #coming: string | null = null

  constructor(options: NodeWaitOptions) {
    this.#options = options
  }

  /** Null where it is not about a node, or none is on its way. Never throws for a cluster that does not answer: what it said last holds. */
  async coming(pod: PodFacts, signal: AbortSignal): Promise<string | null> {
    const { client, clock, tell } = this.#options
    if (pod.unschedulable === '') return null
    const now = clock.now()
    if (now < Math.max(this.#nextAt, pod.createdAt + LOOK_MS)) return this.#coming
    this.#nextAt = now + LOOK_MS
    const events = await readEvents(client, pod.namespace, signal).catch(() => null)
    if (events === null) return this.#coming
    const before = this.#coming
    this.#coming = comingNode(events, pod.name)
    if (this.#coming !== null && this.#coming !== before)
      tell(pod, `waits for a node that is on its way: ${this.#coming}`)
    return this.#coming
  }
}
