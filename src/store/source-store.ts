import { createHash } from 'node:crypto'
import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import { KeyedMutex } from '../lib/mutex.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Digest } from '../model/release.ts'
import type { Source, SourceEntry, SourceStore, SourceTree } from '../model/source.ts'
import { ContentFiles, diskError } from './content-files.ts'
import { checkedEntries } from './source-paths.ts'
import { StoredTree } from './stored-tree.ts'

export interface SourceLimits {
  readonly maxEntries: number
  readonly maxContentBytes: number
  readonly maxTotalBytes: number
  /** Nothing younger than this is collected, whatever the caller says: a client may be sending the rest of it. */
  readonly graceMs: number
}

export const SOURCE_LIMITS: SourceLimits = {
  maxEntries: 200_000,
  maxContentBytes: 4 * 2 ** 30,
  maxTotalBytes: 16 * 2 ** 30,
  graceMs: 3_600_000,
}

export interface SourceStoreOptions {
  /** Folder of its own: `contents/`, `trees/`, `tmp/`. One process at a time (the writer lock of the Store sees to that). */
  readonly root: string
  readonly clock: Clock
  readonly limits?: Partial<SourceLimits>
}

export async function openSourceStore(options: SourceStoreOptions): Promise<SourceStore> {
  const { root, clock, limits = {} } = options
  await mkdir(join(root, 'trees'), { recursive: true, mode: 0o700 })
  const contents = new ContentFiles(root, clock)
  await contents.open()
  return new FileSourceStore(join(root, 'trees'), contents, clock, { ...SOURCE_LIMITS, ...limits })
}

const DIGEST = /^sha256:[0-9a-f]{64}$/
const digestSchema = z.custom<Digest>((value) => typeof value === 'string' && DIGEST.test(value))
const treeSchema: z.ZodType<readonly SourceEntry[]> = z.array(
  z.discriminatedUnion('type', [
    z.object({
      type: z.literal('file'),
      path: z.string(),
      size: z.number(),
      executable: z.boolean(),
      digest: digestSchema,
    }),
    z.object({ type: z.literal('symlink'), path: z.string(), target: z.string() }),
  ]),
)

class FileSourceStore implements SourceStore {
  readonly #trees: string
  readonly #contents: ContentFiles
  readonly #clock: Clock
  readonly #limits: SourceLimits
  /** Saving a tree and collecting exclude each other: contents that a save has just counted must stay. */
  readonly #mutex = new KeyedMutex()

  constructor(trees: string, contents: ContentFiles, clock: Clock, limits: SourceLimits) {
    this.#trees = trees
    this.#contents = contents
    this.#clock = clock
    this.#limits = limits
  }

  missing(digests: readonly Digest[]): Promise<readonly Digest[]> {
    return Promise.resolve([...new Set(digests)].filter((digest) => !this.#contents.claim(digest)))
  }

  async writeContent(digest: Digest, size: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    if (!DIGEST.test(digest))
      throw new FairwayError(
        'INVALID_REQUEST',
        `${JSON.stringify(digest.slice(0, 80))} is no digest`,
      )
    const { maxContentBytes } = this.#limits
    if (size > maxContentBytes)
      throw new FairwayError(
        'TOO_LARGE',
        `a file of ${size} bytes is over the limit of ${maxContentBytes}`,
      )
    await this.#contents.write(digest, size, body)
  }

  save(entries: readonly SourceEntry[]): Promise<Source> {
    return this.#mutex.run('trees', async () => {
      this.#checkLimits(entries)
      const sorted = checkedEntries(entries).map(canonical)
      await this.#checkContents(sorted)
      const text = JSON.stringify(sorted)
      const id: Digest = `sha256:${createHash('sha256').update(text).digest('hex')}`
      await this.#write(id, text)
      return { id, entries: sorted }
    })
  }

  async open(id: string): Promise<SourceTree | null> {
    if (!DIGEST.test(id)) return null
    const entries = await this.#read(this.#treePath(id))
    if (entries === null) return null
    // Contents are claimed, so that a bake that starts now finds them until its end.
    const complete = entries.every(
      (entry) => entry.type !== 'file' || this.#contents.claim(entry.digest),
    )
    return complete ? new StoredTree(entries, (digest) => this.#contents.path(digest)) : null
  }

  collect(keep: ReadonlySet<string>, olderThanMs: number): Promise<number> {
    const age = Math.max(olderThanMs, this.#limits.graceMs)
    return this.#mutex.run('trees', async () => {
      const live = new Set<Digest>()
      let freed = 0
      for (const name of await readdir(this.#trees)) {
        const path = join(this.#trees, name)
        const facts = await stat(path)
        const id = `sha256:${name.replace(/\.json$/, '')}`
        if (!keep.has(id) && facts.mtimeMs <= this.#clock.now() - age) {
          await rm(path, { force: true })
          freed += facts.size
          continue
        }
        for (const entry of (name.endsWith('.json') ? await this.#read(path) : null) ?? [])
          if (entry.type === 'file') live.add(entry.digest)
      }
      return freed + (await this.#contents.collect(live, age))
    })
  }

  #checkLimits(entries: readonly SourceEntry[]): void {
    const { maxEntries, maxTotalBytes } = this.#limits
    if (entries.length > maxEntries)
      throw new FairwayError(
        'TOO_LARGE',
        `${entries.length} files are over the limit of ${maxEntries}`,
      )
    const total = entries.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.size : 0), 0)
    if (total > maxTotalBytes)
      throw new FairwayError(
        'TOO_LARGE',
        `a source of ${total} bytes is over the limit of ${maxTotalBytes}`,
      )
  }

  async #checkContents(entries: readonly SourceEntry[]): Promise<void> {
    const missing: Digest[] = []
    for (const entry of entries) {
      if (entry.type !== 'file') continue
      const size = await this.#contents.size(entry.digest, entry.size)
      if (size === null) missing.push(entry.digest)
      else if (size !== entry.size) throw wrongSize(entry, size)
    }
    if (missing.length === 0) return
    throw new FairwayError('SOURCE_INCOMPLETE', `${missing.length} files have not been sent yet`, {
      details: { missing: [...new Set(missing)] },
    })
  }

  async #write(id: Digest, text: string): Promise<void> {
    const path = this.#treePath(id)
    try {
      const now = this.#clock.now() / 1000
      if ((await readIfExists(path)) === text) await utimes(path, now, now)
      else await writeAtomically(path, text)
    } catch (error) {
      throw diskError(error)
    }
  }

  async #read(path: string): Promise<readonly SourceEntry[] | null> {
    const text = await readIfExists(path)
    return text === null ? null : treeSchema.parse(JSON.parse(text))
  }

  #treePath(id: string): string {
    return join(this.#trees, `${id.slice('sha256:'.length)}.json`)
  }
}

function wrongSize({ path, size }: SourceEntry & { type: 'file' }, real: number): FairwayError {
  return new FairwayError(
    'INVALID_SOURCE',
    `${path} is said to have ${size} bytes, its content has ${real}`,
    { details: { path } },
  )
}

/** Keys in alphabetical order, nothing else in it: the same tree has the same JSON. */
function canonical(entry: SourceEntry): SourceEntry {
  if (entry.type === 'symlink') return { path: entry.path, target: entry.target, type: 'symlink' }
  const { digest, executable, path, size } = entry
  return { digest, executable, path, size, type: 'file' }
}
