import { ChunkedDecoder, type DataSink } from './chunked-decoder.ts'
import { CHUNKED, UNTIL_CLOSE } from './response-head.ts'

/** Cuts one message body out of a stream of bytes by its framing. */
export class BodyReader {
  #remaining = 0
  #decoder: ChunkedDecoder | null = null
  #done = true

  get done(): boolean {
    return this.#done
  }

  get trailers(): string {
    return this.#decoder?.trailers ?? ''
  }

  /** `length` as in RequestHead and ResponseHead: bytes, CHUNKED or UNTIL_CLOSE. */
  begin(length: number): void {
    this.#remaining = length === UNTIL_CLOSE ? Infinity : length
    this.#decoder = length === CHUNKED ? new ChunkedDecoder() : null
    this.#done = length === 0
  }

  /** Returns the position after the last byte that belongs to the body, -1 where its coding is broken. */
  consume(bytes: Buffer, from: number, to: number, sink: DataSink): number {
    if (this.#done) return from
    if (this.#decoder !== null) {
      const at = this.#decoder.consume(bytes, from, to, sink)
      this.#done = this.#decoder.done
      return at
    }
    const end = Math.min(to, from + this.#remaining)
    if (end > from) sink.bodyData(bytes, from, end)
    this.#remaining -= end - from
    this.#done = this.#remaining === 0
    return end
  }

  /** The other side closed: true where that is how this body ends. */
  endsByClose(): boolean {
    return this.#done || this.#remaining === Infinity
  }
}
