import { TRAILER_FIELDS } from './field-name.ts'
import { parseFields } from './fields.ts'

export interface DataSink {
  /** Bytes `from` to `to` of `bytes` are body; `bytes` may be reused after the call. */
  bodyData(bytes: Buffer, from: number, to: number): void
}

type State = 'size' | 'extension' | 'size-lf' | 'data' | 'data-cr' | 'data-lf' | 'trailer' | 'done'

const MAX_SIZE_DIGITS = 13
const MAX_EXTENSION = 256
const MAX_EXTENSIONS = 8192
const MAX_TRAILER = 8192

/**
 * Chunked transfer coding (RFC 9112 7.1), strict: hexadecimal sizes without blanks, CRLF only, bounded extensions (dropped, as no two servers agree on them)
 * and a bounded trailer section.
 */
export class ChunkedDecoder {
  #state: State = 'size'
  #digits = 0
  #remaining = 0
  #extension = 0
  #extensions = 0
  #trailer = ''

  get done(): boolean {
    return this.#state === 'done'
  }

  /** Field lines with CRLF; valid when done. */
  get trailers(): string {
    return this.#trailer
  }

  /** Takes bytes until the end of the body; returns the position after the last one taken, -1 where the coding is broken. */
  consume(bytes: Buffer, from: number, to: number, sink: DataSink): number {
    let at = from
    while (at < to && this.#state !== 'done') {
      if (this.#state === 'data') {
        const end = Math.min(to, at + this.#remaining)
        sink.bodyData(bytes, at, end)
        this.#remaining -= end - at
        if (this.#remaining === 0) this.#state = 'data-cr'
        at = end
      } else {
        if (!this.#step(bytes[at] ?? 0)) return -1
        at++
      }
    }
    return at
  }

  #step(byte: number): boolean {
    switch (this.#state) {
      case 'size':
        return this.#sizeByte(byte)
      case 'extension':
        return this.#extensionByte(byte)
      case 'size-lf':
        if (byte !== 10) return false
        this.#state = this.#remaining === 0 ? 'trailer' : 'data'
        this.#digits = 0
        this.#extension = 0
        return true
      case 'data-cr':
        this.#state = 'data-lf'
        return byte === 13
      case 'data-lf':
        this.#state = 'size'
        return byte === 10
      default:
        return this.#trailerByte(byte)
    }
  }

  #sizeByte(byte: number): boolean {
    const digit = hexDigit(byte)
    if (digit >= 0) {
      this.#remaining = this.#digits === 0 ? digit : this.#remaining * 16 + digit
      this.#digits++
      return this.#digits <= MAX_SIZE_DIGITS
    }
    if (this.#digits === 0) return false
    if (byte === 13) this.#state = 'size-lf'
    else if (byte === 59) this.#state = 'extension'
    else return false
    return true
  }

  #extensionByte(byte: number): boolean {
    if (byte === 13) {
      this.#state = 'size-lf'
      return true
    }
    this.#extension++
    this.#extensions++
    if (this.#extension > MAX_EXTENSION || this.#extensions > MAX_EXTENSIONS) return false
    return byte === 9 || (byte >= 32 && byte !== 127)
  }

  #trailerByte(byte: number): boolean {
    const before = this.#trailer.charCodeAt(this.#trailer.length - 1)
    if (byte === 10 ? before !== 13 : before === 13) return false
    if (byte < 32 && byte !== 9 && byte !== 10 && byte !== 13) return false
    if (byte === 127 || this.#trailer.length >= MAX_TRAILER) return false
    this.#trailer += String.fromCharCode(byte)
    if (byte !== 10) return true
    if (this.#trailer === '\r\n') this.#trailer = ''
    else if (!this.#trailer.endsWith('\r\n\r\n')) return true
    this.#state = 'done'
    return this.#keepTrailers()
  }

  #keepTrailers(): boolean {
    if (this.#trailer === '') return true
    const fields = parseFields(this.#trailer, 0, this.#trailer.length - 2, TRAILER_FIELDS)
    this.#trailer = fields?.kept ?? ''
    return fields !== null
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const lower = byte | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}
