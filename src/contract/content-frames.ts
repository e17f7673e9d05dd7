/**
 * Many contents in one request: for each content a header line `<64 hex digits of its SHA-256> <size in decimal>\n`, then exactly
 * `size` bytes; nothing between frames and nothing at the end.
 */
import type { Digest } from '../model/release.ts'
import { FairwayError } from '../model/errors.ts'

export interface ContentFrame {
  readonly digest: Digest
  readonly size: number
  /** To be read to its end before the next frame is asked for. */
  readonly body: AsyncIterable<Uint8Array>
}

const HEADER = /^([0-9a-f]{64}) (0|[1-9][0-9]{0,15})$/
const LONGEST_HEADER = 64 + 1 + 16
const NEWLINE = 0x0a

/** Header of one frame. */
export function encodeFrameHeader(digest: Digest, size: number): Uint8Array {
  return new TextEncoder().encode(`${digest.slice('sha256:'.length)} ${size}\n`)
}

/**
 * Splits a byte stream into frames, holding no more than one chunk. What a reader leaves of a body is skipped.
 * @throws FairwayError INVALID_REQUEST for a bad header or an end inside a frame; from within a body too
 */
export async function* decodeFrames(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<ContentFrame> {
  const reader = new ByteReader(chunks)
  for (;;) {
    const header = await reader.line(LONGEST_HEADER)
    if (header === null) return
    const match = HEADER.exec(header)
    if (match === null) throw broken('bad frame header, expected "<sha256 hex> <size>"')
    const size = Number(match[2])
    if (!Number.isSafeInteger(size)) throw broken('bad frame header, the size is too large')
    const body = reader.bytes(size)
    yield { digest: `sha256:${match[1] ?? ''}`, size, body }
    while ((await body.next()).done !== true);
  }
}

class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  #chunk: Uint8Array = new Uint8Array(0)

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#source = chunks[Symbol.asyncIterator]()
  }

  /** Text up to the next newline, which is consumed; null at the end of the stream. */
  async line(longest: number): Promise<string | null> {
    let text = ''
    while (await this.#fill()) {
      const end = this.#chunk.indexOf(NEWLINE)
      const taken = this.#take(Math.min(end === -1 ? this.#chunk.length : end, longest + 1))
      text += new TextDecoder('latin1').decode(taken)
      if (text.length > longest) throw broken('bad frame header, it is too long')
      if (end === -1) continue
      this.#take(1)
      return text
    }
    if (text !== '') throw broken('the upload ended inside a frame header')
    return null
  }

  async *bytes(size: number): AsyncGenerator<Uint8Array, void, undefined> {
    let left = size
    while (left > 0) {
      if (!(await this.#fill())) {
        throw broken(`the upload ended ${left} bytes before the end of a content`)
      }
      const taken = this.#take(Math.min(left, this.#chunk.length))
      left -= taken.length
      yield taken
    }
  }

  /** False at the end of the stream. */
  async #fill(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next()
      if (next.done === true) return false
      this.#chunk = next.value
    }
    return true
  }

  #take(count: number): Uint8Array {
    const taken = this.#chunk.subarray(0, count)
    this.#chunk = this.#chunk.subarray(count)
    return taken
  }
}

function broken(message: string): FairwayError {
  return new FairwayError('INVALID_REQUEST', message)
}
