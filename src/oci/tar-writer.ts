import { BLOCK, encodeHeader, paddingOf, type TarHeader } from './tar-header.ts'

/** Takes full segments in order. `done` is called when nobody reads the buffer any more: it is filled again then. */
export type SegmentSink = (segment: Buffer, done: () => void) => Promise<void>

/**
 * Deterministic tar into segments of one fixed size (the last is shorter), so that whoever compresses them in parallel gets the
 * same bytes every time. Synchronous but for `flushed()`: call that whenever `full` is true, at the latest once per file.
 */
export class TarWriter {
  readonly #segmentSize: number
  readonly #sink: SegmentSink
  #segment: Buffer
  #used = 0
  readonly #full: Buffer[] = []
  /** A fresh megabyte for every megabyte of tar would make the garbage collector walk the whole heap several times per layer. */
  readonly #free: Buffer[] = []

  constructor(sink: SegmentSink, segmentSize = 1 << 20) {
    this.#sink = sink
    this.#segmentSize = segmentSize
    this.#segment = Buffer.allocUnsafe(segmentSize)
  }

  get full(): boolean {
    return this.#full.length > 0
  }

  header(header: TarHeader): void {
    this.bytes(encodeHeader(header))
  }

  bytes(data: Uint8Array): void {
    let offset = 0
    while (offset < data.length) {
      const part = data.subarray(offset, offset + this.#room())
      this.#segment.set(part, this.#used)
      this.#advance(part.length)
      offset += part.length
    }
  }

  /** Lets `read` fill the segment itself, which saves a copy; it returns how many bytes it wrote, 0 = end. */
  fill(read: (target: Buffer, offset: number, length: number) => number, wanted: number): number {
    const count = read(this.#segment, this.#used, Math.min(wanted, this.#room()))
    this.#advance(count)
    return count
  }

  padding(size: number): void {
    this.zeros(paddingOf(size))
  }

  /** Hands full segments to the sink. */
  async flushed(): Promise<void> {
    for (const segment of this.#full.splice(0))
      await this.#sink(segment, () => this.#free.push(segment))
  }

  /** Two zero blocks, then the last segment. */
  async end(): Promise<void> {
    this.zeros(2 * BLOCK)
    await this.flushed()
    await this.#sink(this.#segment.subarray(0, this.#used), () => undefined)
    this.#used = 0
  }

  zeros(count: number): void {
    let left = count
    while (left > 0) {
      const part = Math.min(left, this.#room())
      this.#segment.fill(0, this.#used, this.#used + part)
      this.#advance(part)
      left -= part
    }
  }

  // Private

  #room(): number {
    return this.#segmentSize - this.#used
  }

  #advance(count: number): void {
    this.#used += count
    if (this.#used < this.#segmentSize) return
    this.#full.push(this.#segment)
    this.#segment = this.#free.pop() ?? Buffer.allocUnsafe(this.#segmentSize)
    this.#used = 0
  }
}
