import type { LogLine } from '../model/runner.ts'

/** Lines that a slow reader has not taken yet; whoever brings more waits. */
const WAITING_LINES = 1_000

/** Lines from many logs for one reader, until the signal aborts. */
export class LineQueue {
  readonly #signal: AbortSignal
  readonly #waiting: LogLine[] = []
  #wake: (() => void) | null = null
  #room: PromiseWithResolvers<void> | null = null

  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener('abort', () => {
      this.#wake?.()
      this.#room?.resolve()
    })
  }

  /** Resolves when there is room for more. */
  async push(line: LogLine): Promise<void> {
    this.#waiting.push(line)
    this.#wake?.()
    if (this.#waiting.length < WAITING_LINES || this.#signal.aborted) return
    this.#room ??= Promise.withResolvers()
    await this.#room.promise
  }

  async *lines(): AsyncGenerator<LogLine> {
    while (!this.#signal.aborted) {
      yield* this.#waiting.splice(0)
      this.#room?.resolve()
      this.#room = null
      if (this.#waiting.length === 0) await this.#more()
    }
  }

  async #more(): Promise<void> {
    if (this.#signal.aborted) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = null
  }
}
