import { watch, type FSWatcher } from 'node:fs'

/** Finds what happens without a file, such as the end of a program whose monitor was killed too. */
const LOOK_AGAIN_MS = 1000

/** Wakes whoever waits for a file when something appears in its folder. */
export class FolderWatch {
  readonly #folder: string
  readonly #waiting = new Set<() => void>()
  #watcher: FSWatcher | null = null

  constructor(folder: string) {
    this.#folder = folder
  }

  open(): void {
    this.#watcher = watch(this.#folder, { persistent: false }, () => {
      for (const wake of this.#waiting) wake()
    })
  }

  /** Repeats `look` until it is done; rejects with the signal's reason when that aborts. */
  async until<T>(
    signal: AbortSignal | undefined,
    look: () => Promise<{ readonly done: boolean; readonly value: T }>,
  ): Promise<T> {
    for (;;) {
      signal?.throwIfAborted()
      // Begins to listen before it looks, so that nothing falls between.
      const change = this.#change(signal)
      try {
        const { done, value } = await look()
        if (done) return value
        await change.happened
      } finally {
        change.forget()
      }
    }
  }

  close(): void {
    this.#watcher?.close()
    this.#watcher = null
  }

  #change(signal: AbortSignal | undefined): { happened: Promise<void>; forget: () => void } {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const wake = (): void => resolve(undefined)
    const timer = setTimeout(wake, LOOK_AGAIN_MS)
    this.#waiting.add(wake)
    signal?.addEventListener('abort', wake)
    return {
      happened: promise,
      forget: () => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
        signal?.removeEventListener('abort', wake)
      },
    }
  }
}
