import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat, utimes, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import {
  algorithmOf,
  hashFor,
  hexOf,
  isBlobDigest,
  type BlobDigest,
  type Digest,
} from './digest.ts'
import { errno, OciError, translateDiskError } from './oci-error.ts'

/** Inclusive byte positions, as in HTTP ranges. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface Expected {
  readonly digest?: BlobDigest
  readonly size?: number
  /** Refuses more than this; default: no bound but `size`. */
  readonly maxSize?: number
}

export interface BlobFacts {
  readonly digest: BlobDigest
  readonly size: number
}

/** Content-addressed files. Whatever is found here was hashed when it was written. */
export class BlobStore {
  readonly #root: string
  readonly #newTemporary: () => string

  /** `newTemporary` names a file that does not exist, on the same filesystem, which a sweep removes after a crash. */
  constructor(root: string, newTemporary: () => string) {
    this.#root = root
    this.#newTemporary = newTemporary
  }

  path(digest: BlobDigest): string {
    return join(this.#root, algorithmOf(digest), hexOf(digest))
  }

  async has(digest: BlobDigest): Promise<boolean> {
    return (await this.size(digest)) !== null
  }

  /** Null where it is absent. */
  async size(digest: BlobDigest): Promise<number | null> {
    try {
      return (await stat(this.path(digest))).size
    } catch (error) {
      if (errno(error) === 'ENOENT') return null
      throw error
    }
  }

  /** A stream of the open file (deleting the blob meanwhile does not disturb it), or null where it is absent. */
  async read(digest: BlobDigest, range?: ByteRange): Promise<Readable | null> {
    let file: FileHandle
    try {
      file = await open(this.path(digest), 'r')
    } catch (error) {
      if (errno(error) === 'ENOENT') return null
      throw error
    }
    return createReadStream('', { fd: file, highWaterMark: 256 << 10, ...range })
  }

  /** The whole blob. Null where it is absent. @throws OciError TOO_LARGE above `limit` bytes */
  async readAll(digest: BlobDigest, limit: number): Promise<Buffer | null> {
    let file: FileHandle
    try {
      file = await open(this.path(digest), 'r')
    } catch (error) {
      if (errno(error) === 'ENOENT') return null
      throw error
    }
    try {
      const { size } = await file.stat()
      if (size > limit) {
        throw new OciError('TOO_LARGE', `${digest} has ${size} bytes; at most ${limit} are read`)
      }
      return await file.readFile()
    } finally {
      await file.close()
    }
  }

  /**
   * Hashes while writing; the blob appears whole or not at all, and a blob that exists is not written twice.
   * @throws OciError DIGEST_MISMATCH, TOO_LARGE, DISK_FULL
   */
  async write(
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    expected: Expected = {},
  ): Promise<BlobFacts> {
    const { size, maxSize } = expected
    if (size !== undefined && maxSize !== undefined && size > maxSize) {
      throw new OciError('TOO_LARGE', `a blob of ${size} bytes; at most ${maxSize} are allowed`)
    }
    const draft = await this.begin(maxSize)
    try {
      for await (const chunk of source) {
        if (size !== undefined && draft.size + chunk.length > size) {
          throw new OciError('DIGEST_MISMATCH', `more than the ${size} bytes that were promised`)
        }
        await draft.append(chunk)
      }
      return await draft.commit(expected.digest, expected.size)
    } catch (error) {
      await draft.abort()
      throw error
    }
  }

  /** For uploads that arrive in pieces. */
  async begin(maxSize = Number.MAX_SAFE_INTEGER): Promise<BlobDraft> {
    const path = this.#newTemporary()
    try {
      const file = await open(path, 'wx+', 0o600)
      return new BlobDraft({
        path,
        file,
        maxSize,
        place: (from, digest) => this.adopt(from, digest),
      })
    } catch (error) {
      throw translateDiskError(error)
    }
  }

  /** Moves a file whose digest the caller has computed, and which is synced, into place. */
  async adopt(file: string, digest: BlobDigest): Promise<void> {
    const target = this.path(digest)
    await mkdir(dirname(target), { recursive: true, mode: 0o700 })
    await rename(file, target)
    await syncFolder(dirname(target))
  }

  /** Marks it as used now: garbage collection spares what is young. False where it is absent. */
  async touch(digest: BlobDigest, now: number): Promise<boolean> {
    try {
      await utimes(this.path(digest), now / 1000, now / 1000)
      return true
    } catch (error) {
      if (errno(error) === 'ENOENT') return false
      throw error
    }
  }

  /** False where there was none. */
  async delete(digest: BlobDigest): Promise<boolean> {
    try {
      await rm(this.path(digest))
      return true
    } catch (error) {
      if (errno(error) === 'ENOENT') return false
      throw error
    }
  }

  async *list(): AsyncGenerator<BlobFacts & { readonly usedAt: number }> {
    for (const algorithm of ['sha256', 'sha512']) {
      for (const name of await namesIn(join(this.#root, algorithm))) {
        const digest = `${algorithm}:${name}`
        if (!isBlobDigest(digest)) continue
        try {
          const { size, mtimeMs } = await stat(this.path(digest))
          yield { digest, size, usedAt: mtimeMs }
        } catch (error) {
          if (errno(error) !== 'ENOENT') throw error
        }
      }
    }
  }
}

interface DraftOptions {
  readonly path: string
  readonly file: FileHandle
  readonly maxSize: number
  readonly place: (from: string, digest: BlobDigest) => Promise<void>
}

/** A blob being written. One caller at a time; ends with `commit` or `abort`. */
export class BlobDraft {
  readonly #options: DraftOptions
  readonly #hash = createHash('sha256')
  #size = 0
  #closed = false

  constructor(options: DraftOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#size
  }

  async append(chunk: Uint8Array): Promise<void> {
    const { maxSize, file } = this.#options
    if (this.#size + chunk.length > maxSize) {
      throw new OciError(
        'TOO_LARGE',
        `the blob has more than the ${maxSize} bytes that are allowed`,
      )
    }
    try {
      await file.appendFile(chunk)
    } catch (error) {
      throw translateDiskError(error)
    }
    this.#hash.update(chunk)
    this.#size += chunk.length
  }

  /** @throws OciError DIGEST_MISMATCH for the wrong bytes or the wrong number of them */
  async commit(digest?: BlobDigest, size?: number): Promise<BlobFacts> {
    const { file, path, place } = this.#options
    if (size !== undefined && size !== this.#size) {
      throw new OciError(
        'DIGEST_MISMATCH',
        `expected ${size} bytes of ${digest ?? 'a blob'}, got ${this.#size}`,
      )
    }
    const actual = await this.#digest(digest)
    if (digest !== undefined && digest !== actual) {
      throw new OciError('DIGEST_MISMATCH', `expected ${digest}, got bytes of ${actual}`)
    }
    await file.sync()
    await this.#close()
    await place(path, actual)
    return { digest: actual, size: this.#size }
  }

  async abort(): Promise<void> {
    await this.#close()
    await rm(this.#options.path, { force: true })
  }

  // Private

  async #digest(wanted: BlobDigest | undefined): Promise<BlobDigest> {
    const own: Digest = `sha256:${this.#hash.copy().digest('hex')}`
    if (wanted === undefined || algorithmOf(wanted) === 'sha256') return own
    const hash = hashFor(wanted)
    for await (const chunk of createReadStream(this.#options.path)) hash.update(toBytes(chunk))
    return `sha512:${hash.digest('hex')}`
  }

  async #close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#options.file.close()
  }
}

function toBytes(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk
  throw new TypeError('a byte stream gave something that is not bytes')
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (errno(error) === 'ENOENT') return []
    throw error
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
