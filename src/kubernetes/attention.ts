import { backoffMs } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { ActualApp } from '../model/engine.ts'
import { releaseKey } from './ref-key.ts'
import type { ClusterClient } from './cluster-client.ts'
import { diagnosis } from './diagnosis.ts'
import { namespaceOf } from './labels.ts'
import { parseLogLine } from './log-line.ts'
import type { OwnedObjects } from './owned-objects.ts'
import { comingNode, probeAnswer, readEvents, type PodEvent } from './pod-events.ts'
import type { PodFacts } from './pod-facts.ts'
import { podState } from './pod-state.ts'

export interface AttentionOptions {
  readonly client: ClusterClient
  readonly objects: OwnedObjects
  readonly actual: (key: string) => ActualApp
  readonly announce: (key: string) => void
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

interface Watched {
  looks: number
  nextAt: number
  shown: string
  events: readonly PodEvent[]
  diagnoses: ReadonlyMap<string, readonly string[]>
}

const TICK_MS = 1_000
const FIRST_LOOK_MS = 2_000
const LOOKS = { firstMs: 3_000, maxMs: 300_000 }
const LINES = 12
/** Requests at once for looking closer, of all apps together, and how often it may begin: a thousand broken apps are no load for the API server. */
const WIDTH = 4
const BURST = 20
const PER_TICK = 0.4
/** Of the burst, for what has failed without anybody knowing why: whoever deploys waits for that. */
const FOR_DIAGNOSES = 10

/**
 * Looks closer at apps that are not as they should be: the words of failed probes, events, last lines. Deadlines pass without an event in the cluster, so it
 * also looks at the clock. An app that has converged costs nothing; one that stays broken is looked at less and less often.
 */
export class Attention {
  readonly #options: AttentionOptions
  readonly #watched = new Map<string, Watched>()
  readonly #looking = new Set<string>()
  #timer: NodeJS.Timeout | null = null
  #budget = BURST

  constructor(options: AttentionOptions) {
    this.#options = options
    options.signal.addEventListener('abort', () => this.#stop())
  }

  /** Another target: an app that is looked after is looked at anew. One that waits for its turn shows nothing yet that time alone changes. */
  renew(key: string): void {
    if (this.#watched.has(key)) this.#begin(key)
  }

  /** Something of the app changed: whether it needs attention is seen at the next tick. */
  notice(key: string): void {
    if (!this.#watched.has(key)) this.#begin(key)
  }

  forget(key: string): void {
    this.#watched.delete(key)
  }

  /** What the last failed probe of a pod got, in words. */
  answerOf(pod: PodFacts): string | null {
    return probeAnswer(this.#watched.get(pod.app)?.events ?? [], pod.name, pod.probe)
  }

  /** What an autoscaler says that brings a node for a pod. */
  comingNode(pod: PodFacts): string | null {
    return comingNode(this.#watched.get(pod.app)?.events ?? [], pod.name)
  }

  /** By `process@release`. */
  diagnoses(key: string): ReadonlyMap<string, readonly string[]> {
    return this.#watched.get(key)?.diagnoses ?? NONE
  }

  // Private

  #begin(key: string): void {
    if (this.#options.signal.aborted) return
    const nextAt = this.#options.clock.now() + FIRST_LOOK_MS
    const before = this.#watched.get(key)
    const kept = before ?? { shown: '', events: [], diagnoses: new Map<string, string[]>() }
    this.#watched.set(key, { ...kept, looks: 0, nextAt })
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref()
  }

  #tick(): void {
    this.#budget = Math.min(BURST, this.#budget + PER_TICK)
    for (const [key, watched] of this.#watched) {
      const actual = this.#options.actual(key)
      if (isQuiet(actual)) {
        this.#watched.delete(key)
        continue
      }
      const shown = JSON.stringify(actual)
      if (shown !== watched.shown) this.#options.announce(key)
      watched.shown = shown
      this.#lookIfDue(key, watched, actual)
    }
    if (this.#watched.size === 0) this.#stop()
  }

  #lookIfDue(key: string, watched: Watched, actual: ActualApp): void {
    const undiagnosed = actual.workloads.some(
      ({ phase, process, tracks }) =>
        phase === 'failing' &&
        tracks.some(({ release, ready, desired }) => {
          return ready < desired && !watched.diagnoses.has(releaseKey(process, release))
        }),
    )
    const now = this.#options.clock.now()
    // Without copies there is nothing to look at but what their maker says, which is known.
    if (now < watched.nextAt && !undiagnosed) return
    if (actual.instances.length === 0 && !undiagnosed) return
    const needed = undiagnosed ? 1 : 1 + FOR_DIAGNOSES
    if (this.#looking.has(key) || this.#looking.size >= WIDTH || this.#budget < needed) return
    this.#budget -= 1
    watched.looks += 1
    watched.nextAt = now + backoffMs(watched.looks, LOOKS)
    this.#looking.add(key)
    this.#look(watched, actual)
      .catch((error: unknown) => {
        this.#options.log.debug({ app: key, error: String(error) }, 'cannot look closer')
      })
      .finally(() => {
        this.#looking.delete(key)
        this.#options.announce(key)
      })
  }

  async #look(watched: Watched, actual: ActualApp): Promise<void> {
    const { client, objects, signal } = this.#options
    const namespace = namespaceOf(actual.ref)
    watched.events = await readEvents(client, namespace, signal)
    const diagnoses = new Map<string, readonly string[]>()
    for (const { process, phase, tracks } of actual.workloads) {
      if (phase !== 'failing') continue
      for (const { release, ready, desired } of tracks) {
        if (ready >= desired) continue
        const pods = objects.pods
          .in(namespace)
          .filter((pod) => pod.process === process && pod.release === release && !pod.deleting)
          .filter(({ kind }) => kind === 'service')
        const refusal = objects
          .workloads(namespace)
          .find((object) => object.process === process && object.release === release)?.refusal
        const lines = await this.#diagnose(process, pods, refusal ?? '', watched.events)
        diagnoses.set(releaseKey(process, release), lines)
      }
    }
    watched.diagnoses = diagnoses
  }

  async #diagnose(
    process: string,
    pods: readonly PodFacts[],
    refusal: string,
    events: readonly PodEvent[],
  ): Promise<readonly string[]> {
    const actual = (pod: PodFacts): string | undefined =>
      this.#options.actual(pod.app).instances.find(({ id }) => id === pod.name)?.reason
    const pod = pods.find(({ exit }) => exit !== null) ?? pods.find(({ ready }) => !ready) ?? null
    if (pod === null) return diagnosis(process, { pod, state: null, refusal, events, lines: [] })
    const view = {
      now: this.#options.clock.now(),
      startMs: Infinity,
      answer: null,
      everReady: false,
    }
    const state = podState(pod, view)
    const lines = await this.#lastLines(pod)
    const reason = actual(pod) ?? state.reason
    return diagnosis(process, { pod, state: { ...state, reason }, refusal, events, lines })
  }

  /** Of the life that ended last: while the container runs again that is the one before, else the one that is there. */
  async #lastLines(pod: PodFacts): Promise<readonly ReturnType<typeof parseLogLine>[]> {
    for (const previous of pod.restarts > 0 && pod.running ? [true, false] : [false, true]) {
      const lines: ReturnType<typeof parseLogLine>[] = []
      const container = pod.preparing?.need ?? pod.container
      const options = { container, tailLines: LINES, previous }
      const { client, signal } = this.#options
      try {
        for await (const line of client.podLog(pod.namespace, pod.name, options, signal))
          lines.push(parseLogLine(line, pod))
      } catch (error) {
        this.#options.log.debug({ pod: pod.name, error: String(error) }, 'cannot read its log')
      }
      if (lines.length > 0) return lines
    }
    return []
  }

  #stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }
}

// Private

const NONE: ReadonlyMap<string, readonly string[]> = new Map()

function isQuiet({ workloads, instances }: ActualApp): boolean {
  return (
    workloads.every(({ phase }) => phase === 'converged') &&
    instances.every(({ state }) => state === 'ready')
  )
}
