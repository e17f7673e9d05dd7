import type { Problem } from './problem.ts'

export interface ScanLimits {
  readonly requestLineBytes: number
  readonly headBytes: number
  readonly headerFields: number
}

/** Result of a scan: the head is whole, more bytes are needed, or it is refused. */
export type Scan = 'whole' | 'more' | Problem

/**
 * Finds the end of an HTTP/1 head (RFC 9112 section 2.2) and refuses, in the order of the bytes, everything that no head may hold: CR or LF alone, NUL and
 * other controls, and what is over a limit. Goes on where it stopped, so feeding single bytes costs the same and gives the same answer as one chunk.
 */
export class HeadScanner {
  readonly #limits: ScanLimits
  /** Requests may be preceded by one empty line (RFC 9112 2.2), responses may not. */
  readonly #emptyLine: boolean
  #at = 0
  #lineStart = 0
  #lines = 0
  #first = 0

  constructor(limits: ScanLimits, emptyLine: boolean) {
    this.#limits = limits
    this.#emptyLine = emptyLine
  }

  /** Bytes of the head, with its final empty line; valid after 'whole'. */
  get length(): number {
    return this.#at
  }

  /** Where the first line starts: 0, or 2 after an empty line. */
  get start(): number {
    return this.#first
  }

  /** True where bytes of an unfinished head were seen. */
  get begun(): boolean {
    return this.#at > 0
  }

  reset(): void {
    this.#at = 0
    this.#lineStart = 0
    this.#lines = 0
    this.#first = 0
  }

  /** `from` is the first byte of the head in `bytes`, the same head on every call until `reset`. */
  scan(bytes: Uint8Array, from: number, end: number): Scan {
    const available = end - from
    for (;;) {
      const limit =
        this.#lines === 0 ? this.#limits.requestLineBytes + this.#first : this.#limits.headBytes
      const stop = available < limit ? available : limit
      const at = findControl(bytes, from + this.#at, from + stop) - from
      this.#at = at
      if (at >= stop) {
        if (available < limit) return 'more'
        return this.#lines === 0 ? 'uri-too-long' : 'head-too-large'
      }
      if (bytes[from + at] !== 13) return 'bad-request'
      if (at + 1 >= available) return 'more'
      if (bytes[from + at + 1] !== 10) return 'bad-request'
      const empty = at === this.#lineStart
      this.#at = at + 2
      this.#lineStart = this.#at
      if (!empty) {
        this.#lines++
        if (this.#lines > this.#limits.headerFields + 1) return 'head-too-large'
      } else if (this.#lines > 0) return 'whole'
      else if (this.#emptyLine && this.#first === 0) this.#first = this.#at
      else return 'bad-request'
    }
  }
}

/** First byte that is neither visible, SP, HTAB nor obs-text. */
function findControl(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to) {
    const byte = bytes[at] ?? 0
    if ((byte < 32 && byte !== 9) || byte === 127) break
    at++
  }
  return at
}
