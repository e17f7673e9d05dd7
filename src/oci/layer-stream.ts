import { createHash } from 'node:crypto'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { pipeline, type Readable } from 'node:stream'
import { finishHash, type Digest } from './digest.ts'
import type { LayerCodec } from './media-type.ts'
import { OciError } from './oci-error.ts'

export interface UnpackLimits {
  readonly maxBytes: number
  /** Uncompressed to compressed, looked at above `freeBytes`. */
  readonly maxRatio: number
  readonly freeBytes: number
}

export const UNPACK_LIMITS: UnpackLimits = {
  maxBytes: 64 * 2 ** 30,
  maxRatio: 200,
  freeBytes: 512 << 20,
}

interface LayerStreamOptions {
  readonly codec: LayerCodec
  /** Of the compressed blob. */
  readonly size: number
  readonly diffId: Digest | null
  readonly limits?: UnpackLimits
}

/**
 * The tar of a layer blob. Read it to its end: only then is it known to be what it should be.
 * @throws OciError DIGEST_MISMATCH for another diffID, TOO_LARGE for a bomb, INVALID_IMAGE for a broken or padded stream
 */
export async function* layerStream(
  blob: Readable,
  { codec, size, diffId, limits = UNPACK_LIMITS }: LayerStreamOptions,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  const stream = decompressed(blob, codec)
  const bound = Math.min(limits.maxBytes, Math.max(limits.freeBytes, size * limits.maxRatio))
  let total = 0
  try {
    for await (const chunk of stream.output) {
      if (!Buffer.isBuffer(chunk)) throw new TypeError('a layer stream gave no bytes')
      total += chunk.length
      if (total > bound) {
        throw new OciError(
          'TOO_LARGE',
          `a layer of ${size} bytes unpacks to more than ${bound} bytes`,
        )
      }
      hash.update(chunk)
      yield chunk
    }
  } catch (error) {
    throw codecError(error, codec)
  } finally {
    blob.destroy()
    stream.output.destroy()
  }
  if (stream.consumed() !== null && stream.consumed() !== size) {
    throw new OciError('INVALID_IMAGE', `a layer has bytes after the end of its ${codec} stream`)
  }
  const actual = finishHash(hash)
  if (diffId !== null && actual !== diffId) {
    throw new OciError('DIGEST_MISMATCH', `a layer unpacks to ${actual}, its image says ${diffId}`)
  }
}

// Private

interface Decompressed {
  readonly output: Readable
  /** Input bytes that belong to the stream; null where that cannot be told. */
  readonly consumed: () => number | null
}

function decompressed(blob: Readable, codec: LayerCodec): Decompressed {
  if (codec === 'none') return { output: blob, consumed: () => null }
  const options = { chunkSize: 256 << 10 }
  const stream = codec === 'gzip' ? createGunzip(options) : createZstdDecompress(options)
  // Errors of either side come out of the iteration.
  pipeline(blob, stream, () => undefined)
  return { output: stream, consumed: () => (codec === 'gzip' ? stream.bytesWritten : null) }
}

function codecError(error: unknown, codec: LayerCodec): unknown {
  const isCodec =
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    /^(Z_|ZSTD_|ERR_ZSTD)/.test(error.code)
  if (!isCodec) return error
  return new OciError('INVALID_IMAGE', `a layer is no valid ${codec} stream`, error)
}
