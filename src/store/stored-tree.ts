import { open } from 'node:fs/promises'
import type { Digest } from '../model/release.ts'
import type { SourceEntry, SourceTree } from '../model/source.ts'

const DEFAULT_TEXT_LIMIT = 2 ** 20

/** A saved source over the files of the content store. */
export class StoredTree implements SourceTree {
  readonly entries: readonly SourceEntry[]
  /** The content store only adds and removes names. */
  readonly linkable = true
  readonly #byPath: ReadonlyMap<string, SourceEntry>
  readonly #contentPath: (digest: Digest) => string

  constructor(entries: readonly SourceEntry[], contentPath: (digest: Digest) => string) {
    this.entries = entries
    this.#byPath = new Map(entries.map((entry) => [entry.path, entry]))
    this.#contentPath = contentPath
  }

  contentPath(digest: Digest): string {
    return this.#contentPath(digest)
  }

  async readText(path: string, limit = DEFAULT_TEXT_LIMIT): Promise<string | null> {
    const entry = this.#byPath.get(path)
    if (entry?.type !== 'file') return null
    const buffer = Buffer.alloc(Math.min(limit, entry.size))
    const file = await open(this.#contentPath(entry.digest), 'r')
    try {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
      return buffer.subarray(0, bytesRead).toString('utf8')
    } finally {
      await file.close()
    }
  }
}
