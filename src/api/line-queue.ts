/**
 * Turns calls that cannot wait into a stream that can be read at leisure. Beyond `most` waiting values the oldest are dropped and
 * counted: a slow reader costs lines, not memory.
 */
export class LineQueue<T> {
  readonly #most: number
  #waiting: T[] = []
  #dropped = 0
  #wake: (() => void) | null = null
  #ended = false

  constructor(most: number) {
    this.#most = most
  }

  push(value: T): void {
    this.#waiting.push(value)
    if (this.#waiting.length > this.#most) {
      this.#waiting = this.#waiting.slice(-Math.ceil(this.#most / 2))
      this.#dropped += this.#most + 1 - this.#waiting.length
    }
    this.#wake?.()
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  /** Values in order, with how many were dropped just before each; ends after `end`. */
  async *read(): AsyncGenerator<{ readonly value: T; readonly dropped: number }> {
    for (;;) {
      const batch = this.#waiting
      this.#waiting = []
      for (const value of batch) {
        const dropped = this.#dropped
        this.#dropped = 0
        yield { value, dropped }
      }
      if (this.#waiting.length > 0) continue
      if (this.#ended) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = null
    }
  }
}
