import type { Clock } from '../model/clock.ts'

export interface RateLimitOptions {
  readonly perSecond: number
  /** How many may go at once after a pause. */
  readonly burst: number
  readonly clock: Clock
}

/** A token bucket: callers wait in order for their turn, so that a thousand apps at once do not trip the API server. */
export class RateLimit {
  readonly #options: RateLimitOptions
  #tokens: number
  #at: number

  constructor(options: RateLimitOptions) {
    this.#options = options
    this.#tokens = options.burst
    this.#at = options.clock.now()
  }

  async take(signal?: AbortSignal): Promise<void> {
    const { perSecond, burst, clock } = this.#options
    const now = clock.now()
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) / 1000) * perSecond)
    this.#at = now
    // Below zero is the queue: each caller waits for its own token, the ones before it included.
    this.#tokens -= 1
    if (this.#tokens < 0) await clock.sleep((-this.#tokens / perSecond) * 1000, signal)
  }
}
