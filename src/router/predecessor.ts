import type { Clock } from '../model/clock.ts'
import type { InstanceId } from '../model/instance.ts'
import type { Published } from './plane.ts'
import { fromPredecessor, type Asked, type FromSuccessor, type KinChannel } from './succession.ts'

/** How long an answer may take beyond what was asked for; then the older router is taken for one that hangs. */
const PATIENCE_MS = 2_000

/**
 * The router that this one took over from, while it finishes what it has: connections that were open then stay there until their next answer. So tables go to it too, and
 * an instance is drained only when both have nothing for it. Every call resolves at once where there is none, or none any more.
 */
export class Predecessor {
  readonly #channel: KinChannel | null
  readonly #clock: Clock
  readonly #waiting = new Map<number, (cut: number) => void>()
  #gone: boolean
  #count = 0

  constructor(channel: KinChannel | null, clock: Clock) {
    this.#channel = channel
    this.#clock = clock
    this.#gone = channel === null
    channel?.onMessage((message) => {
      const parsed = fromPredecessor.safeParse(message)
      // One of another version may say more than we understand.
      if (parsed.success) this.#waiting.get(parsed.data.number)?.(parsed.data.cut)
    })
    channel?.onClose(() => {
      this.#gone = true
      for (const answered of this.#waiting.values()) answered(0)
    })
  }

  async publish(published: Published): Promise<void> {
    await this.#ask({ ask: 'publish', number: this.#count++, published }, 0)
  }

  /** As in the Traffic port. */
  async drain(id: InstanceId, deadlineMs: number): Promise<{ readonly cut: number }> {
    const cut = await this.#ask(
      { ask: 'drain', number: this.#count++, target: { id, deadlineMs } },
      deadlineMs,
    )
    return { cut }
  }

  /** We have the control socket. Resolves when its last table is stored: from now on it takes none but ours. */
  async settle(): Promise<void> {
    await this.#ask({ ask: 'settle', number: this.#count++ }, 0)
  }

  /** We serve: it takes nothing new any more. */
  dismiss(): void {
    this.#send({ ask: 'leave' })
  }

  async #ask(asked: Asked, withinMs: number): Promise<number> {
    if (this.#gone) return 0
    const late = new AbortController()
    try {
      return await Promise.race([
        new Promise<number>((answered) => {
          this.#waiting.set(asked.number, answered)
          this.#send(asked)
        }),
        this.#clock.sleep(withinMs + PATIENCE_MS, late.signal).then(() => 0),
      ])
    } finally {
      late.abort()
      this.#waiting.delete(asked.number)
    }
  }

  #send(message: FromSuccessor): void {
    this.#channel?.send(message)
  }
}
