import type { Writable } from 'node:stream'

/** Below this, bytes travel as one latin1 string with what stands before them: one copy, one write, no Buffer. */
const SMALL = 8192

/** Gathers what one turn of the event loop has to say on a connection, so that head and small body leave in one write. */
export class Outbox {
  readonly #socket: Writable
  #text = ''

  constructor(socket: Writable) {
    this.#socket = socket
  }

  text(text: string): void {
    this.#text += text
  }

  /** Body bytes; `chunked` frames them as one chunk. The bytes are copied: `bytes` may be reused. */
  data(bytes: Buffer, from: number, to: number, chunked: boolean): void {
    const length = to - from
    if (length === 0) return
    const prefix = chunked ? `${length.toString(16)}\r\n` : ''
    if (length <= SMALL) {
      this.#text += prefix + bytes.toString('latin1', from, to) + (chunked ? '\r\n' : '')
      if (this.#text.length > 4 * SMALL) this.flush()
      return
    }
    const before = this.#text + prefix
    this.#text = ''
    const whole = Buffer.allocUnsafeSlow(before.length + length + (chunked ? 2 : 0))
    whole.write(before, 0, 'latin1')
    bytes.copy(whole, before.length, from, to)
    if (chunked) whole.write('\r\n', before.length + length, 'latin1')
    this.#socket.write(whole)
  }

  /** Body bytes that nobody else will change, passed on without a copy. */
  owned(bytes: Buffer): void {
    if (bytes.length <= SMALL) {
      this.data(bytes, 0, bytes.length, false)
      return
    }
    this.flush()
    this.#socket.write(bytes)
  }

  /** Sends what was gathered; false while the socket holds more than it should. */
  flush(): boolean {
    if (this.#text !== '') {
      const text = this.#text
      this.#text = ''
      this.#socket.write(text, 'latin1')
    }
    return !this.#socket.writableNeedDrain
  }
}
