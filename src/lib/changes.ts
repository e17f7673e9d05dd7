/** Tells waiting readers that something of a key changed; readers look for themselves, so nothing is queued or lost. */
export class Changes {
  readonly #waiting = new Map<string, Set<() => void>>()
  readonly #versions = new Map<string, number>()

  announce(key: string): void {
    this.#versions.set(key, this.version(key) + 1)
    const waiting = this.#waiting.get(key)
    this.#waiting.delete(key)
    for (const wake of waiting ?? []) wake()
  }

  version(key: string): number {
    return this.#versions.get(key) ?? 0
  }

  /** Resolves when the version is no longer `seen`, or when the signal aborts. */
  async after(key: string, seen: number, signal: AbortSignal): Promise<void> {
    if (this.version(key) !== seen || signal.aborted) return
    await new Promise<void>((resolve) => {
      const waiting = this.#waiting.get(key) ?? new Set()
      const wake = (): void => {
        signal.removeEventListener('abort', wake)
        waiting.delete(wake)
        resolve()
      }
      waiting.add(wake)
      this.#waiting.set(key, waiting)
      signal.addEventListener('abort', wake)
    })
  }
}
