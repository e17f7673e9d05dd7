import { watch, type FSWatcher } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from '../lib/atomic-file.ts'
import type { Clock } from '../model/clock.ts'
import type { LogLine } from '../model/runner.ts'
import { FileFollower, type FollowFrom } from './file-follower.ts'
import type { InstanceLog, LogFile } from './instance-log.ts'

/** Where the file system tells us nothing, we look this often. */
const POLL_MS = 1000
/** Lines that come close together are read together. */
const GATHER_MS = 20

export interface FollowOptions {
  readonly folder: string
  /** What was read as history; following begins where that ended. */
  readonly history: readonly InstanceLog[]
  /** Instances as they are now, already narrowed to those that are asked for. */
  readonly list: () => Promise<readonly InstanceLog[]>
  readonly clock: Clock
}

interface Followed {
  readonly log: InstanceLog
  readonly file: FileFollower
}

/** New lines of every instance, also of those that start later, in order of time as far as they come together. Ends when the signal aborts, after a last look. */
export async function* followLogs(
  { folder, history, list, clock }: FollowOptions,
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  const followed = new Map<string, Followed>()
  const changes = new ChangeWatcher(folder, clock)
  try {
    for (const log of history) await begin(followed, log, folder, clock)
    while (!signal.aborted) {
      yield* await readNew(followed, list, folder, clock)
      await changes.wait(signal)
    }
    yield* await readNew(followed, list, folder, clock)
    yield* [...followed.values()].flatMap(({ log, file }) =>
      file.flush().map((line) => toLine(log, line)),
    )
  } finally {
    changes.close()
    await Promise.all([...followed.values()].map(({ file }) => file.close()))
  }
}

async function readNew(
  followed: Map<string, Followed>,
  list: FollowOptions['list'],
  folder: string,
  clock: Clock,
): Promise<readonly LogLine[]> {
  for (const log of await list()) {
    for (const name of namesOf(log)) {
      if (followed.has(name)) continue
      const file = new FileFollower(join(folder, name), null, clock.now())
      followed.set(name, { log, file })
    }
  }
  const lines: LogLine[] = []
  for (const { log, file } of followed.values()) {
    for (const line of await file.read()) lines.push(toLine(log, line))
  }
  return lines.sort((a, b) => a.time - b.time)
}

async function begin(
  followed: Map<string, Followed>,
  log: InstanceLog,
  folder: string,
  clock: Clock,
): Promise<void> {
  for (const name of namesOf(log)) {
    const path = join(folder, name)
    const listed = [...log.files, ...log.notes].find((file) => file.path === path)
    const from = listed === undefined ? null : await startOf(listed)
    followed.set(name, { log, file: new FileFollower(path, from, clock.now()) })
  }
}

function namesOf({ id }: InstanceLog): readonly string[] {
  return [`${id}.log`, `${id}.notes`]
}

/** After the last line break of what was listed: the history left the unfinished line out. */
async function startOf({ path, size, inode }: LogFile): Promise<FollowFrom> {
  let position = size
  try {
    const handle = await open(path, 'r')
    try {
      const buffer = Buffer.alloc(4096)
      while (position > 0) {
        const start = Math.max(0, position - buffer.length)
        const { bytesRead } = await handle.read(buffer, 0, position - start, start)
        const end = buffer.subarray(0, bytesRead).lastIndexOf(10)
        if (end >= 0) return { inode, position: start + end + 1 }
        position = start
      }
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  return { inode, position }
}

function toLine(
  { id, process, release }: InstanceLog,
  line: Pick<LogLine, 'time' | 'stream' | 'text'>,
): LogLine {
  return { ...line, instance: id, process, release }
}

/** Waits for a change in a folder; where it cannot be watched (not there yet, too many watches) time alone wakes it. */
class ChangeWatcher {
  readonly #folder: string
  readonly #clock: Clock
  #watcher: FSWatcher | null = null
  #changed = false
  #wake: () => void = () => undefined

  constructor(folder: string, clock: Clock) {
    this.#folder = folder
    this.#clock = clock
    this.#watch()
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (this.#watcher === null) this.#watch()
    if (!this.#changed) await this.#change(signal)
    this.#changed = false
    await pause(this.#clock, GATHER_MS, signal)
  }

  close(): void {
    this.#watcher?.close()
    this.#watcher = null
  }

  async #change(signal: AbortSignal): Promise<void> {
    const waiting = new AbortController()
    const stop = AbortSignal.any([signal, waiting.signal])
    const change = new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    await Promise.race([change, pause(this.#clock, POLL_MS, stop)])
    waiting.abort()
  }

  #watch(): void {
    try {
      this.#watcher = watch(this.#folder, () => {
        this.#changed = true
        this.#wake()
      })
      this.#watcher.on('error', () => {
        this.close()
      })
    } catch (error) {
      if (!isUnwatchable(error)) throw error
      this.#watcher = null
    }
  }
}

/** Ends early, without an error, when the signal aborts. */
async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  try {
    await clock.sleep(ms, signal)
  } catch (error) {
    // `aborted` changes while we sleep, which the type checker does not see.
    if (!AbortSignal.any([signal]).aborted) throw error
  }
}

function isUnwatchable(error: unknown): boolean {
  if (isMissing(error)) return true
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ENOSPC' || error.code === 'EMFILE')
  )
}
