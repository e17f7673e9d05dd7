import type { Rollout, StepRecord } from '../model/release.ts'
import type { RolloutEvent } from '../model/platform.ts'
import { isEnded } from './rollout.ts'

/** Output lines kept per rollout for readers that come late. */
const LINES_KEPT = 2_000
/** Ended rollouts whose output is still in memory. */
const ROLLOUTS_KEPT = 50

interface Feed {
  readonly events: RolloutEvent[]
  dropped: number
  ended: boolean
  readonly waiting: Set<() => void>
}

/** What happened in each rollout of this server's life, for any number of readers at their own pace. */
export class RolloutFeed {
  readonly #feeds = new Map<string, Feed>()

  step(rollout: Rollout, step: StepRecord, at: number): void {
    this.#push(rollout.id, { type: 'step', at, step })
  }

  output(rollout: Rollout, text: string, at: number): void {
    this.#push(rollout.id, { type: 'output', at, text })
  }

  end(rollout: Rollout, urls: readonly string[], at: number): void {
    this.#push(rollout.id, { type: 'end', at, rollout, urls })
    this.#feed(rollout.id).ended = true
    const ended = [...this.#feeds].filter(([, feed]) => feed.ended)
    for (const [id] of ended.slice(0, Math.max(0, ended.length - ROLLOUTS_KEPT)))
      this.#feeds.delete(id)
  }

  /**
   * From the first event on. A rollout of an earlier life of the server is told from its record: its steps, then what comes.
   * `reload` gives the record as it is now.
   */
  async *read(
    rollout: Rollout,
    urls: readonly string[],
    signal: AbortSignal,
  ): AsyncIterable<RolloutEvent> {
    if (!this.#feeds.has(rollout.id)) {
      for (const step of rollout.steps)
        yield { type: 'step', at: step.endedAt ?? step.startedAt, step }
      if (isEnded(rollout)) {
        yield { type: 'end', at: rollout.endedAt ?? rollout.createdAt, rollout, urls }
        return
      }
    }
    const feed = this.#feed(rollout.id)
    let position = feed.dropped
    while (!signal.aborted) {
      const event = feed.events[position - feed.dropped]
      if (event !== undefined) {
        position += 1
        yield event
        if (event.type === 'end') return
      } else {
        position = Math.max(position, feed.dropped)
        if (feed.events[position - feed.dropped] === undefined) await nextEvent(feed, signal)
      }
    }
  }

  #push(id: string, event: RolloutEvent): void {
    const feed = this.#feed(id)
    feed.events.push(event)
    if (feed.events.length > LINES_KEPT) {
      feed.events.shift()
      feed.dropped += 1
    }
    for (const wake of feed.waiting) wake()
    feed.waiting.clear()
  }

  #feed(id: string): Feed {
    const existing = this.#feeds.get(id)
    if (existing !== undefined) return existing
    const feed: Feed = { events: [], dropped: 0, ended: false, waiting: new Set() }
    this.#feeds.set(id, feed)
    return feed
  }
}

function nextEvent(feed: Feed, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      signal.removeEventListener('abort', wake)
      feed.waiting.delete(wake)
      resolve()
    }
    feed.waiting.add(wake)
    signal.addEventListener('abort', wake)
    if (signal.aborted) wake()
  })
}
