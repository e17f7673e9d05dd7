import { open, rename, stat } from 'node:fs/promises'
import { constants } from 'node:fs'
import { join } from 'node:path'
import { isMissing } from '../lib/atomic-file.ts'
import type { Log } from '../lib/log.ts'
import type { InstanceId, InstanceSpec } from '../model/instance.ts'
import { logFile } from '../model/log-file.ts'
import type { InstanceFolder } from './instance-folder.ts'

export interface LogRotationOptions {
  readonly log: Log
  /** Size at which a file is rotated; default 10 MiB. */
  readonly maxBytes?: number
  /** Rotated files kept beside the current one; default 2. */
  readonly keep?: number
  readonly everyMs?: number
}

interface Watched {
  readonly file: string
  /** conmon's control pipe. */
  readonly control: string
}

/**
 * Rotates the logs that conmon writes: rename, then ask conmon to open its path again, so no line is lost. conmon by itself only
 * truncates at a size, which is kept as a hard limit, higher than ours, for when no server runs or a flood outruns us.
 */
export class LogRotation {
  readonly #log: Log
  readonly #maxBytes: number
  readonly #keep: number
  readonly #everyMs: number
  readonly #watched = new Map<InstanceId, Watched>()
  #timer: NodeJS.Timeout | null = null
  #busy = false

  constructor({ log, maxBytes = 10 << 20, keep = 2, everyMs = 500 }: LogRotationOptions) {
    this.#log = log
    this.#maxBytes = maxBytes
    this.#keep = keep
    this.#everyMs = everyMs
  }

  get hardLimit(): number {
    return this.#maxBytes * 4
  }

  watch(spec: InstanceSpec, logDir: string, folder: InstanceFolder): void {
    this.#watched.set(spec.id, { file: logFile(logDir, spec), control: join(folder.bundle, 'ctl') })
    this.#timer ??= setInterval(() => {
      this.#rotateAll().catch((error: unknown) => {
        this.#log.warn({ error }, 'cannot rotate a log')
      })
    }, this.#everyMs).unref()
  }

  forget(id: InstanceId): void {
    this.#watched.delete(id)
    if (this.#watched.size === 0) this.close()
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  async #rotateAll(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    try {
      for (const watched of this.#watched.values()) await this.#rotate(watched)
    } finally {
      this.#busy = false
    }
  }

  async #rotate({ file, control }: Watched): Promise<void> {
    try {
      if ((await stat(file)).size < this.#maxBytes) return
      for (let number = this.#keep; number > 0; number--) {
        const from = number === 1 ? file : `${file}.${String(number - 1)}`
        await rename(from, `${file}.${String(number)}`).catch(ignoreMissing)
      }
      await reopen(control)
    } catch (error) {
      // Ended and removed meanwhile.
      if (!isMissing(error)) throw error
    }
  }
}

/** conmon's control pipe takes `<type> <height> <width>\n`; type 2 opens the log again. */
async function reopen(control: string): Promise<void> {
  try {
    const pipe = await open(control, constants.O_WRONLY | constants.O_NONBLOCK)
    try {
      await pipe.write('2 0 0\n')
    } finally {
      await pipe.close()
    }
  } catch (error) {
    // Nobody reads it: conmon has ended, and with it the log.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENXIO')) throw error
  }
}

function ignoreMissing(error: unknown): void {
  if (!isMissing(error)) throw error
}
