import { closeSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** conmon cuts lines there too; the rest follows as further parts of the line. */
const MAX_PART = 16 << 10

export interface LogWriterOptions {
  readonly file: string
  /** Size at which the file is rotated. */
  readonly maxBytes: number
  /** Rotated files kept beside the current one. */
  readonly keep: number
  readonly now: () => number
}

/**
 * Writes the CRI log format, `<RFC3339 time> <stream> <F|P> <text>`, and rotates. Synchronous on purpose: a program that floods
 * its output is held back by its own pipe instead of filling our memory.
 */
export class LogWriter {
  readonly #options: LogWriterOptions
  readonly #rest: Record<string, Buffer> = {}
  #fd: number
  #size: number

  constructor(options: LogWriterOptions) {
    this.#options = options
    mkdirSync(dirname(options.file), { recursive: true, mode: 0o700 })
    this.#fd = openSync(options.file, 'a', 0o600)
    this.#size = statSync(options.file).size
  }

  write(stream: 'stdout' | 'stderr' | 'platform', chunk: Buffer): void {
    const lines: Buffer[] = []
    let rest = Buffer.concat([this.#rest[stream] ?? Buffer.alloc(0), chunk])
    for (;;) {
      const end = rest.indexOf(10)
      const whole = end >= 0 && end <= MAX_PART
      if (!whole && rest.length < MAX_PART) break
      lines.push(this.#line(stream, whole ? 'F' : 'P', rest.subarray(0, whole ? end : MAX_PART)))
      rest = rest.subarray(whole ? end + 1 : MAX_PART)
    }
    this.#rest[stream] = Buffer.from(rest)
    this.#append(Buffer.concat(lines))
  }

  /** Writes what never got its end of line. */
  close(): void {
    for (const [stream, rest] of Object.entries(this.#rest)) {
      if (rest.length > 0) this.#append(this.#line(stream, 'F', rest))
    }
    closeSync(this.#fd)
  }

  #line(stream: string, tag: 'F' | 'P', text: Buffer): Buffer {
    const time = new Date(this.#options.now()).toISOString()
    return Buffer.concat([Buffer.from(`${time} ${stream} ${tag} `), text, Buffer.from('\n')])
  }

  #append(bytes: Buffer): void {
    if (bytes.length === 0) return
    if (this.#size + bytes.length > this.#options.maxBytes && this.#size > 0) this.#rotate()
    writeSync(this.#fd, bytes)
    this.#size += bytes.length
  }

  #rotate(): void {
    const { file, keep } = this.#options
    closeSync(this.#fd)
    for (let number = keep; number > 0; number--) {
      const from = number === 1 ? file : `${file}.${String(number - 1)}`
      if (statSync(from, { throwIfNoEntry: false }) !== undefined) {
        renameSync(from, `${file}.${String(number)}`)
      }
    }
    this.#fd = openSync(file, 'w', 0o600)
    this.#size = 0
  }
}
