import type { Clock } from '../model/clock.ts'
import type { LogQuery, LogReader } from '../model/logs.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { LogLine } from '../model/runner.ts'
import type { ClusterClient } from './cluster-client.ts'
import { FairwayError } from '../model/errors.ts'
import { LineQueue } from './line-queue.ts'
import { parseLogLine } from './log-line.ts'
import type { PodFacts } from './pod-facts.ts'
import { textAt } from './json-value.ts'

export interface PodLogReaderOptions {
  readonly client: ClusterClient
  /** What the engine sees. */
  readonly pods: (ref: AppRef) => readonly PodFacts[]
  readonly changed: (ref: AppRef, signal: AbortSignal) => Promise<void>
  readonly clock: Clock
}

/** A search reads this many lines of each copy at most. */
const SEARCHED_LINES = 10_000
/** Lines of the platform itself that are kept per app; they are not in the cluster. */
const KEPT_NOTES = 200
const WIDTH = 8
const RETRY_MS = 1_000

/** Logs of copies as the nodes keep them: of pods that exist, of the life before the last restart too. What was deleted is gone with its log. */
export class PodLogReader implements LogReader {
  readonly #options: PodLogReaderOptions
  readonly #notes = new Map<string, readonly LogLine[]>()

  constructor(options: PodLogReaderOptions) {
    this.#options = options
  }

  async *read(ref: AppRef, query: LogQuery, signal: AbortSignal): AsyncGenerator<LogLine> {
    const pods = this.#pods(ref, query)
    const seen = new Map<string, string>()
    yield* await this.#history(ref, pods, query, seen, signal)
    if (!query.follow || signal.aborted) return
    const stop = new AbortController()
    const until = AbortSignal.any([signal, stop.signal])
    const queue = new LineQueue(until)
    void this.#followAll(ref, query, seen, queue, until)
    try {
      for await (const line of queue.lines()) if (matches(line, query)) yield line
    } finally {
      stop.abort()
    }
  }

  async tail(ref: AppRef, instance: string, lines: number): Promise<readonly LogLine[]> {
    const never = new AbortController().signal
    const query = { instance, limit: lines, follow: false }
    return this.#history(ref, this.#pods(ref, query), query, new Map(), never)
  }

  note(spec: Parameters<LogReader['note']>[0], text: string, now: number): Promise<void> {
    const key = refKey(spec.ref)
    const line: LogLine = {
      time: now,
      stream: 'platform',
      instance: spec.id,
      process: spec.process,
      release: spec.release,
      text,
    }
    this.#notes.set(key, [...(this.#notes.get(key) ?? []), line].slice(-KEPT_NOTES))
    return Promise.resolve()
  }

  /** Nodes rotate and delete logs themselves. */
  collect(): Promise<number> {
    return Promise.resolve(0)
  }

  deleteApp(ref: AppRef): Promise<void> {
    this.#notes.delete(refKey(ref))
    return Promise.resolve()
  }

  // Private

  #pods(ref: AppRef, query: Pick<LogQuery, 'process' | 'instance'>): readonly PodFacts[] {
    return this.#options
      .pods(ref)
      .filter(
        ({ name, process }) =>
          (query.instance === undefined || query.instance === name) &&
          (query.process === undefined || query.process === process),
      )
  }

  async #history(
    ref: AppRef,
    pods: readonly PodFacts[],
    query: LogQuery,
    seen: Map<string, string>,
    signal: AbortSignal,
  ): Promise<readonly LogLine[]> {
    const lines: LogLine[] = this.#notesOf(ref, query)
    const queue = pods.values()
    const worker = async (): Promise<void> => {
      for (const pod of queue) lines.push(...(await this.#podHistory(pod, query, seen, signal)))
    }
    await Promise.all(Array.from({ length: Math.min(WIDTH, pods.length) }, worker))
    return lines
      .filter((line) => matches(line, query))
      .sort((a, b) => a.time - b.time)
      .slice(-query.limit)
  }

  #notesOf(ref: AppRef, query: LogQuery): LogLine[] {
    return (this.#notes.get(refKey(ref)) ?? []).filter(
      ({ instance, process }) =>
        (query.instance === undefined || query.instance === instance) &&
        (query.process === undefined || query.process === process),
    )
  }

  async #podHistory(
    pod: PodFacts,
    query: LogQuery,
    seen: Map<string, string>,
    signal: AbortSignal,
  ): Promise<readonly LogLine[]> {
    const lines: LogLine[] = []
    const tailLines = query.grep === undefined ? query.limit : SEARCHED_LINES
    const since = query.since === undefined ? {} : { since: query.since }
    for (const previous of pod.restarts > 0 ? [true, false] : [false]) {
      if (pod.startedAt === null && !previous) continue
      const options = { container: pod.container, previous, tailLines, ...since }
      try {
        for await (const raw of this.#options.client.podLog(
          pod.namespace,
          pod.name,
          options,
          signal,
        )) {
          seen.set(pod.uid, stampOf(raw))
          lines.push(parseLogLine(raw, pod))
        }
      } catch (error) {
        if (!isGone(error)) throw error
      }
    }
    return lines
  }

  async #followAll(
    ref: AppRef,
    query: LogQuery,
    seen: Map<string, string>,
    queue: LineQueue,
    signal: AbortSignal,
  ): Promise<void> {
    const following = new Set<string>()
    while (!signal.aborted) {
      const change = this.#options.changed(ref, signal)
      for (const pod of this.#pods(ref, query)) {
        if (following.has(pod.uid) || pod.startedAt === null || hasEnded(pod)) continue
        following.add(pod.uid)
        void this.#followPod(ref, pod, seen, queue, signal).finally(() => following.delete(pod.uid))
      }
      await change
    }
  }

  /** Until the pod ends; after a restart of its container it goes on with the next life. */
  async #followPod(
    ref: AppRef,
    pod: PodFacts,
    seen: Map<string, string>,
    queue: LineQueue,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, clock } = this.#options
    const now = (): PodFacts | undefined =>
      this.#options.pods(ref).find(({ uid }) => uid === pod.uid)
    while (!signal.aborted && now() !== undefined) {
      const last = seen.get(pod.uid) ?? ''
      const options = {
        container: pod.container,
        follow: true,
        // The API counts in whole seconds: what was read before is skipped by its own time.
        ...(last === '' ? {} : { since: Date.parse(last) }),
      }
      try {
        for await (const raw of client.podLog(pod.namespace, pod.name, options, signal)) {
          const stamp = stampOf(raw)
          if (stamp !== '' && stamp <= (seen.get(pod.uid) ?? '')) continue
          seen.set(pod.uid, stamp)
          await queue.push(parseLogLine(raw, pod))
        }
      } catch (error) {
        if (isGone(error)) return
      }
      const state = now()
      if (state === undefined || hasEnded(state)) return
      await clock.sleep(RETRY_MS, signal).catch(() => undefined)
    }
  }
}

// Private

function matches({ time, text }: LogLine, { since, grep }: LogQuery): boolean {
  return (since === undefined || time >= since) && (grep === undefined || text.includes(grep))
}

function hasEnded({ phase }: PodFacts): boolean {
  return phase === 'Succeeded' || phase === 'Failed'
}

/** Times of one node have nine digits each: they compare as texts. */
function stampOf(line: string): string {
  const stamp = line.slice(0, line.indexOf(' '))
  return stamp.startsWith('2') ? stamp : ''
}

/** The pod is gone, or its container has no log (any more, or yet). */
function isGone(error: unknown): boolean {
  if (!(error instanceof FairwayError)) return false
  return error.code === 'CLUSTER_REJECTED' || textAt(error.details, 'reason') === 'NotFound'
}
