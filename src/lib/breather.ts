import { setImmediate } from 'node:timers/promises'

/** About what a request can wait without anybody noticing. */
const TURN_MS = 10

/** For long work that is done in small synchronous steps: gives everything else a turn now and then. */
export class Breather {
  #since = performance.now()

  /** True where it is time to `breathe`; asking costs next to nothing. */
  get isDue(): boolean {
    return performance.now() - this.#since > TURN_MS
  }

  async breathe(): Promise<void> {
    await setImmediate()
    this.#since = performance.now()
  }
}
