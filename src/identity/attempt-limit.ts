/** Counts failures in a sliding window: `blocked` once there were `most` of them in the last `windowMs`. */
export class AttemptLimit {
  readonly #most: number
  readonly #windowMs: number
  #failures: readonly number[] = []

  constructor(most: number, windowMs: number) {
    this.#most = most
    this.#windowMs = windowMs
  }

  blocked(now: number): boolean {
    this.#failures = this.#failures.filter((at) => now - at < this.#windowMs)
    return this.#failures.length >= this.#most
  }

  fail(now: number): void {
    this.#failures = [...this.#failures, now].slice(-this.#most)
  }
}
