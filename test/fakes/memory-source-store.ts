import { createHash } from 'node:crypto'
import { FairwayError } from '../../src/model/errors.ts'
import type { Digest } from '../../src/model/release.ts'
import type { Source, SourceEntry, SourceStore, SourceTree } from '../../src/model/source.ts'

/** Sources and contents in memory. */
export class MemorySourceStore implements SourceStore {
  readonly contents = new Map<string, Uint8Array>()
  readonly sources = new Map<string, readonly SourceEntry[]>()

  async missing(digests: readonly Digest[]): Promise<readonly Digest[]> {
    return await Promise.resolve([...new Set(digests)].filter((one) => !this.contents.has(one)))
  }

  async writeContent(digest: Digest, size: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    const chunks: Uint8Array[] = []
    for await (const chunk of body) chunks.push(chunk)
    const bytes = Buffer.concat(chunks)
    if (bytes.length !== size || digestOf(bytes) !== digest) {
      throw new FairwayError('DIGEST_MISMATCH', `the bytes are not ${digest}`)
    }
    this.contents.set(digest, bytes)
  }

  async save(entries: readonly SourceEntry[]): Promise<Source> {
    const wrong = entries.find(({ path }) => path.startsWith('/') || path.includes('..'))
    if (wrong !== undefined) throw new FairwayError('INVALID_SOURCE', `unsafe path ${wrong.path}`)
    const files = entries.flatMap((entry) => (entry.type === 'file' ? [entry.digest] : []))
    if ((await this.missing(files)).length > 0) {
      throw new FairwayError('SOURCE_INCOMPLETE', 'contents are missing')
    }
    const id = digestOf(Buffer.from(JSON.stringify(entries)))
    this.sources.set(id, entries)
    return { id, entries }
  }

  async open(id: string): Promise<SourceTree | null> {
    const entries = this.sources.get(id)
    if (entries === undefined) return await Promise.resolve(null)
    return {
      entries,
      contentPath: (digest) => `/nowhere/${digest}`,
      readText: () => Promise.resolve(null),
    }
  }

  async collect(): Promise<number> {
    return await Promise.resolve(0)
  }
}

export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
