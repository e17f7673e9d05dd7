import { createHash, type Hash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { constants, crc32, deflateRaw, type ZlibOptions } from 'node:zlib'
import { finishHash, type Digest } from './digest.ts'
import { translateDiskError } from './oci-error.ts'

/** RFC 1952: no name, no time, OS byte "unknown", so that no host shows through. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])
const WINDOW = 32 << 10
/** Segments being compressed at once: enough for zlib's thread pool, little enough for memory. */
const IN_FLIGHT = 4

export interface GzipResult {
  /** Of what went in. */
  readonly contentDigest: Digest
  /** Of what was written. */
  readonly digest: Digest
  readonly size: number
}

/**
 * Compresses fixed segments in parallel on the thread pool into one single-member gzip stream, each segment primed with the last
 * 32 KiB of the one before, as pigz does. The bytes depend on segments, level and zlib build only, never on timing.
 */
export class GzipWriter {
  readonly #file: FileHandle
  readonly #level: number
  readonly #content = createHash('sha256')
  readonly #compressed: Hash = createHash('sha256')
  #crc = 0
  #contentSize = 0
  #size = 0
  #dictionary: Buffer | null = null
  #pending: Promise<void>[] = []
  #tail: Promise<void>

  constructor(file: FileHandle, level: number) {
    this.#file = file
    this.#level = level
    this.#tail = this.#write(HEADER)
  }

  /** Calls `done` as soon as the segment may be overwritten. */
  async write(segment: Buffer, done?: () => void): Promise<void> {
    this.#enqueue(segment, constants.Z_SYNC_FLUSH, done)
    this.#content.update(segment)
    this.#crc = crc32(segment, this.#crc)
    this.#contentSize += segment.length
    while (this.#pending.length >= IN_FLIGHT) await this.#pending.shift()
  }

  async end(): Promise<GzipResult> {
    this.#enqueue(Buffer.alloc(0), constants.Z_FINISH)
    await this.#tail
    const trailer = Buffer.alloc(8)
    trailer.writeUInt32LE(this.#crc, 0)
    trailer.writeUInt32LE(this.#contentSize % 2 ** 32, 4)
    await this.#write(trailer)
    return {
      contentDigest: finishHash(this.#content),
      digest: finishHash(this.#compressed),
      size: this.#size,
    }
  }

  /** Waits for running compressions after a failure elsewhere, so that nobody writes to a closed file. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#pending, this.#tail])
  }

  // Private

  #enqueue(segment: Buffer, finishFlush: number, done?: () => void): void {
    const options: ZlibOptions = {
      level: this.#level,
      finishFlush,
      // Mostly one output chunk per segment, so that each costs one trip to the thread pool.
      chunkSize: (segment.length >> 1) + 1024,
    }
    if (this.#dictionary !== null) options.dictionary = this.#dictionary
    const compressed = deflated(segment, options).finally(done)
    const before = this.#tail
    this.#tail = Promise.all([compressed, before]).then(([data]) => this.#write(data))
    // The rejection is reported by whoever awaits `pending` or the tail.
    this.#tail.catch(() => undefined)
    this.#pending.push(this.#tail)
    // A copy: the segment may be overwritten before the next one is compressed.
    const tail = segment.subarray(Math.max(0, segment.length - WINDOW))
    this.#dictionary = tail.length === 0 ? null : Buffer.from(tail)
  }

  async #write(data: Buffer): Promise<void> {
    this.#compressed.update(data)
    this.#size += data.length
    try {
      await this.#file.writeFile(data)
    } catch (error) {
      throw translateDiskError(error)
    }
  }
}

function deflated(data: Buffer, options: ZlibOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    deflateRaw(data, options, (error, result) => {
      if (error === null) resolve(result)
      else reject(error)
    })
  })
}
