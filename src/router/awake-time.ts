/** A gap between two ticks beyond this was time in which nothing could be read or written. */
const LATE_MS = 500

/**
 * Time for the deadlines of connections: of a clock that nobody sets, and without the time in which this program was stopped (SIGSTOP, a frozen
 * or suspended machine). What others sent meanwhile lies unread, so none of them was late.
 */
export class AwakeTime {
  readonly #elapsed: () => number
  readonly #tickMs: number
  #last: number
  #missed = 0

  /** @param elapsed milliseconds of a steady clock @param tickMs how often `tick` is called */
  constructor(elapsed: () => number, tickMs: number) {
    this.#elapsed = elapsed
    this.#tickMs = tickMs
    this.#last = elapsed()
  }

  readonly now = (): number => this.#elapsed() - this.#missed

  /** Called regularly; returns the milliseconds that were missed since the last call, else 0. */
  tick(): number {
    const elapsed = this.#elapsed()
    const late = elapsed - this.#last - this.#tickMs
    this.#last = elapsed
    if (late <= LATE_MS) return 0
    this.#missed += late
    return late
  }
}
