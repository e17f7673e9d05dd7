import { createHash, randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from '../lib/atomic-file.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Digest } from '../model/release.ts'

const PREFIX = 'sha256:'

/**
 * Files named by the SHA-256 of their content, in 256 folders by its first two digits. Which ones are there is kept in memory: one process
 * owns the folder, and a deploy asks for thousands at once.
 */
export class ContentFiles {
  readonly #root: string
  readonly #temporary: string
  readonly #clock: Clock
  /** When each content was last asked for or written in this life of the process; 0 = not yet. */
  readonly #lastUse = new Map<string, number>()
  /** Sizes of contents that were looked at on the disk. */
  readonly #sizes = new Map<string, number>()
  /** Folders that are there. */
  readonly #shards = new Set<string>()

  constructor(root: string, clock: Clock) {
    this.#root = join(root, 'contents')
    this.#temporary = join(root, 'tmp')
    this.#clock = clock
  }

  async open(): Promise<void> {
    await mkdir(this.#temporary, { recursive: true, mode: 0o700 })
    await mkdir(this.#root, { recursive: true, mode: 0o700 })
    for (const shard of await readdir(this.#root)) {
      this.#shards.add(shard)
      for (const name of await readdir(join(this.#root, shard))) this.#lastUse.set(name, 0)
    }
  }

  path(digest: Digest): string {
    const hex = hexOf(digest)
    return join(this.#root, shardOf(hex), hex)
  }

  /** Whether it is here; asking keeps it from being collected for a while. */
  claim(digest: Digest): boolean {
    const hex = hexOf(digest)
    if (!this.#lastUse.has(hex)) return false
    this.#lastUse.set(hex, this.#clock.now())
    return true
  }

  /**
   * Bytes of a content that should have `expected`, looked at once; null where it is not here. Where they differ the file is read: one that
   * a power loss cut short is deleted, so that it is sent again.
   */
  async size(digest: Digest, expected: number): Promise<number | null> {
    const hex = hexOf(digest)
    if (!this.claim(digest)) return null
    const known = this.#sizes.get(hex)
    if (known !== undefined) return known
    const path = this.path(digest)
    const found = await sizeOf(path)
    if (found === null || (found !== expected && (await digestOf(path)) !== digest)) {
      this.#forget(hex)
      await rm(path, { force: true })
      return null
    }
    this.#sizes.set(hex, found)
    return found
  }

  async write(digest: Digest, size: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.claim(digest)) {
      // The sender may go on with the next content in the same stream, so the bytes must be taken all the same.
      let received = 0
      for await (const chunk of body) received += chunk.length
      if (received !== size) throw mismatch(digest, `${received} instead of ${size} bytes`)
      return
    }
    const temporary = join(this.#temporary, randomBytes(12).toString('hex'))
    try {
      await receive(temporary, digest, size, body)
      await this.#makeShard(digest)
      await rename(temporary, this.path(digest))
      this.#lastUse.set(hexOf(digest), this.#clock.now())
      this.#sizes.set(hexOf(digest), size)
    } catch (error) {
      await rm(temporary, { force: true })
      throw diskError(error)
    }
  }

  /** Deletes what is not in `keep` and was neither written nor asked for in the last `olderThanMs`. Returns freed bytes. */
  async collect(keep: ReadonlySet<Digest>, olderThanMs: number): Promise<number> {
    const before = this.#clock.now() - olderThanMs
    let freed = 0
    for (const hex of [...this.#lastUse.keys()]) {
      if (keep.has(`${PREFIX}${hex}`) || this.#usedSince(hex, before)) continue
      const path = this.path(`${PREFIX}${hex}`)
      const facts = await statOrNull(path)
      if (facts !== null && facts.mtimeMs > before) continue
      // Asked for while its facts were read.
      if (this.#usedSince(hex, before)) continue
      this.#forget(hex)
      await rm(path, { force: true })
      freed += facts?.size ?? 0
    }
    return freed + (await this.#collectTemporary(before))
  }

  async #makeShard(digest: Digest): Promise<void> {
    const shard = shardOf(hexOf(digest))
    if (this.#shards.has(shard)) return
    await mkdir(join(this.#root, shard), { recursive: true, mode: 0o700 })
    this.#shards.add(shard)
  }

  #usedSince(hex: string, before: number): boolean {
    return (this.#lastUse.get(hex) ?? 0) > before
  }

  async #collectTemporary(before: number): Promise<number> {
    let freed = 0
    for (const name of await readdir(this.#temporary)) {
      const path = join(this.#temporary, name)
      const facts = await statOrNull(path)
      if (facts === null || facts.mtimeMs > before) continue
      await rm(path, { force: true })
      freed += facts.size
    }
    return freed
  }

  #forget(hex: string): void {
    this.#lastUse.delete(hex)
    this.#sizes.delete(hex)
  }
}

async function receive(
  path: string,
  digest: Digest,
  size: number,
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  const hash = createHash('sha256')
  const file = await open(path, 'wx', 0o644)
  let received = 0
  try {
    for await (const chunk of body) {
      received += chunk.length
      if (received > size) throw mismatch(digest, `more than the promised ${size} bytes`)
      hash.update(chunk)
      await file.writeFile(chunk)
    }
  } finally {
    await file.close()
  }
  if (received < size) throw mismatch(digest, `only ${received} of the promised ${size} bytes`)
  const actual = hash.digest('hex')
  if (actual !== hexOf(digest)) throw mismatch(digest, `bytes with the digest ${PREFIX}${actual}`)
}

function mismatch(digest: Digest, what: string): FairwayError {
  return new FairwayError('DIGEST_MISMATCH', `${digest} came as ${what}`, { details: { digest } })
}

/** ENOSPC and EDQUOT as DISK_FULL, everything else as it is. */
export function diskError(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  return new FairwayError('DISK_FULL', 'no space is left for sources in the data directory', {
    cause: error,
  })
}

async function sizeOf(path: string): Promise<number | null> {
  return (await statOrNull(path))?.size ?? null
}

async function statOrNull(path: string): Promise<{ size: number; mtimeMs: number } | null> {
  try {
    return await stat(path)
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

async function digestOf(path: string): Promise<Digest> {
  const hash = createHash('sha256')
  const file = await open(path, 'r')
  try {
    for await (const chunk of file.createReadStream({ autoClose: false }))
      hash.update(chunk as Buffer)
  } finally {
    await file.close()
  }
  return `${PREFIX}${hash.digest('hex')}`
}

function shardOf(hex: string): string {
  return hex.slice(0, 2)
}

function hexOf(digest: Digest): string {
  return digest.slice(PREFIX.length)
}
