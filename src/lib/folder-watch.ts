import { watch, type FSWatcher } from 'node:fs'
import { silentLog, type Log } from './log.ts'

/** Finds what happens without a file, such as the end of a program whose monitor was killed too. */
const LOOK_AGAIN_MS = 1000
/** Where nothing wakes: a stop is noticed this late. */
const LOOK_WITHOUT_WATCH_MS = 150

export interface FolderWatchOptions {
  readonly log?: Log
  readonly watch?: (
    folder: string,
    options: { readonly persistent: false },
    listener: () => void,
  ) => FSWatcher
}

/** Wakes whoever waits for a file when something appears in its folder; where the system has no watch left, by looking from time to time. */
export class FolderWatch {
  readonly #folder: string
  readonly #waiting = new Set<() => void>()
  readonly #log: Log
  readonly #watch: NonNullable<FolderWatchOptions['watch']>
  #watcher: FSWatcher | null = null
  #told = false

  constructor(folder: string, options: FolderWatchOptions = {}) {
    this.#folder = folder
    this.#log = options.log ?? silentLog
    this.#watch = options.watch ?? watch
  }

  /** @throws what the system says, but for its limit of watches: without one it goes on by looking */
  open(): void {
    try {
      const watcher = this.#watch(this.#folder, { persistent: false }, () => this.#wakeAll())
      this.#watcher = watcher
      watcher.on('error', (error) => {
        this.close()
        this.#goOnLooking(error)
        this.#wakeAll()
      })
    } catch (error) {
      if (!isExhausted(error)) throw error
      this.#goOnLooking(error)
    }
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

  #wakeAll(): void {
    for (const wake of this.#waiting) wake()
  }

  #goOnLooking(error: unknown): void {
    if (this.#told) return
    this.#told = true
    this.#log.warn(
      { folder: this.#folder, error: String(error) },
      'no inotify watch is left (fs.inotify.max_user_instances, max_user_watches): looking from time to time instead',
    )
  }

  #change(signal: AbortSignal | undefined): { happened: Promise<void>; forget: () => void } {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const wake = (): void => resolve(undefined)
    const timer = setTimeout(wake, this.#watcher === null ? LOOK_WITHOUT_WATCH_MS : LOOK_AGAIN_MS)
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

/** Of inotify instances (EMFILE) or watches (ENOSPC) of this user, or of open files of the machine. */
function isExhausted(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    ['EMFILE', 'ENFILE', 'ENOSPC'].includes(String(error.code))
  )
}
