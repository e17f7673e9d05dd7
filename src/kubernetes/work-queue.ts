import { backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../model/clock.ts'

export interface WorkQueueOptions {
  /** Does what is to be done for a key. Resolves with the time after which to look again, or null. Rejects where it failed: it is tried again. */
  readonly work: (key: string) => Promise<number | null>
  /** Each failure, with the number of failures in a row. */
  readonly onFailure: (key: string, error: unknown, failures: number) => void
  /** Keys worked on at the same time. */
  readonly width: number
  readonly clock: Clock
  /** 0 to 1, for jitter. */
  readonly random: () => number
}

const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 60_000

/** Keys that need a look: each at most once at a time, however often it is added; failures are tried again with growing pauses. */
export class WorkQueue {
  readonly #options: WorkQueueOptions
  readonly #waiting = new Set<string>()
  readonly #urgent = new Set<string>()
  readonly #working = new Set<string>()
  readonly #failures = new Map<string, number>()
  readonly #timers = new Map<string, NodeJS.Timeout>()
  #open = false

  constructor(options: WorkQueueOptions) {
    this.#options = options
  }

  get idle(): boolean {
    return this.#working.size + this.#waiting.size + this.#urgent.size === 0
  }

  open(): void {
    this.#open = true
    this.#next()
  }

  /** Looks at the key soon; `urgent` before all that wait already, and without the pause after a failure. */
  add(key: string, urgent = false): void {
    if (urgent) {
      this.#failures.delete(key)
      this.#urgent.add(key)
      this.#waiting.delete(key)
    } else if (!this.#urgent.has(key)) {
      // What failed waits for its time: changes of its objects do not make it succeed sooner.
      if (this.#failures.has(key) && this.#timers.has(key)) return
      this.#waiting.add(key)
    }
    this.#next()
  }

  addLater(key: string, ms: number): void {
    clearTimeout(this.#timers.get(key))
    const timer = setTimeout(() => {
      this.#timers.delete(key)
      this.add(key)
    }, ms)
    this.#timers.set(key, timer.unref())
  }

  forget(key: string): void {
    clearTimeout(this.#timers.get(key))
    this.#timers.delete(key)
    this.#failures.delete(key)
    this.#waiting.delete(key)
    this.#urgent.delete(key)
  }

  close(): void {
    this.#open = false
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
  }

  #next(): void {
    while (this.#open && this.#working.size < this.#options.width) {
      const key = this.#take(this.#urgent) ?? this.#take(this.#waiting)
      if (key === null) return
      void this.#work(key)
    }
  }

  /** The first key that is not being worked on. */
  #take(keys: Set<string>): string | null {
    for (const key of keys) {
      if (this.#working.has(key)) continue
      keys.delete(key)
      return key
    }
    return null
  }

  async #work(key: string): Promise<void> {
    this.#working.add(key)
    clearTimeout(this.#timers.get(key))
    this.#timers.delete(key)
    try {
      const again = await this.#options.work(key)
      this.#failures.delete(key)
      if (again !== null && this.#open) this.addLater(key, again)
    } catch (error) {
      const failures = (this.#failures.get(key) ?? 0) + 1
      this.#failures.set(key, failures)
      this.#options.onFailure(key, error, failures)
      const wait = backoffMs(failures, { firstMs: FIRST_WAIT_MS, maxMs: LONGEST_WAIT_MS })
      if (this.#open) this.addLater(key, wait * (0.5 + this.#options.random()))
    } finally {
      this.#working.delete(key)
      this.#next()
    }
  }
}
