import type { Baker } from '../model/build-plan.ts'

/** A baker that can be kept from baking for a moment, so that what only bakes use can be cleared away. */
export class PausableBaker implements Baker {
  readonly #baker: Baker
  #baking = 0
  #pause: Promise<unknown> | null = null

  constructor(baker: Baker) {
    this.#baker = baker
  }

  readonly bake: Baker['bake'] = async (request, progress, signal) => {
    while (this.#pause !== null) await this.#pause
    signal.throwIfAborted()
    this.#baking += 1
    try {
      return await this.#baker.bake(request, progress, signal)
    } finally {
      this.#baking -= 1
    }
  }

  /** Runs the task while nothing is baked; bakes that begin meanwhile wait for its end. Null, and nothing done, where one is under way. */
  async whileIdle<T>(task: () => Promise<T>): Promise<T | null> {
    if (this.#baking > 0 || this.#pause !== null) return null
    const running = task()
    this.#pause = running.catch(() => undefined)
    try {
      return await running
    } finally {
      this.#pause = null
    }
  }
}
