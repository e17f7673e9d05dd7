/**
 * Many at once with `shared`, one alone with `exclusive`. Who waits for exclusive use goes before later shared ones, so that
 * it is never starved. Not re-entrant.
 */
export class SharedLock {
  #sharing = 0
  #alone = false
  readonly #waiting: { readonly alone: boolean; readonly go: () => void }[] = []

  async shared<T>(task: () => Promise<T>): Promise<T> {
    return await this.#run(false, task)
  }

  async exclusive<T>(task: () => Promise<T>): Promise<T> {
    return await this.#run(true, task)
  }

  // Private

  async #run<T>(alone: boolean, task: () => Promise<T>): Promise<T> {
    if (this.#waiting.length > 0 || !this.#admits(alone)) {
      await new Promise<void>((go) => this.#waiting.push({ alone, go }))
    } else {
      this.#enter(alone)
    }
    try {
      return await task()
    } finally {
      if (alone) this.#alone = false
      else this.#sharing -= 1
      this.#admitWaiting()
    }
  }

  #admits(alone: boolean): boolean {
    return !this.#alone && (!alone || this.#sharing === 0)
  }

  #enter(alone: boolean): void {
    if (alone) this.#alone = true
    else this.#sharing += 1
  }

  #admitWaiting(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!this.#admits(next.alone)) return
      this.#waiting.shift()
      this.#enter(next.alone)
      next.go()
    }
  }
}
