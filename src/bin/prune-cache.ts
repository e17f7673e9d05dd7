import { lstat, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { folderSize } from '../lib/folder-size.ts'
import { isMissing } from '../lib/missing-file.ts'

export interface CacheLimits {
  /** What was not used for so long goes. */
  readonly keptMs: number
  /** Beyond this, what was not used for longest goes first. */
  readonly maxBytes: number
  /** What is younger stays, whatever the size. */
  readonly graceMs: number
}

/** Folders whose entries are made or fetched again when they are missing. */
const FOLDERS = ['tools', 'npm-packages', 'caches', 'debian/packages', 'debian/trees']
/** Left by bakes that were killed. */
const LEFTOVERS = ['work', 'debian/tmp']

interface Entry {
  readonly path: string
  readonly usedAt: number
  readonly bytes: number
}

/** Removes what is too old or too much from the cache of bakes, while nothing is baked. Returns the freed bytes. */
export async function pruneCache(cache: string, limits: CacheLimits, now: number): Promise<number> {
  const left = await entriesOf(cache, LEFTOVERS)
  const entries = await entriesOf(cache, FOLDERS)
  const gone = [
    ...left.filter(({ usedAt }) => usedAt < now - limits.graceMs),
    ...beyond(entries, limits, now),
  ]
  for (const { path } of gone) await rm(path, { recursive: true, force: true })
  return gone.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** Pure: the entries that go. */
export function beyond<T extends Pick<Entry, 'usedAt' | 'bytes'>>(
  entries: readonly T[],
  { keptMs, maxBytes, graceMs }: CacheLimits,
  now: number,
): readonly T[] {
  let total = entries.reduce((sum, { bytes }) => sum + bytes, 0)
  return [...entries]
    .sort((a, b) => a.usedAt - b.usedAt)
    .filter(({ usedAt, bytes }) => {
      const goes = usedAt < now - graceMs && (usedAt < now - keptMs || total > maxBytes)
      if (goes) total -= bytes
      return goes
    })
}

async function entriesOf(cache: string, folders: readonly string[]): Promise<readonly Entry[]> {
  const found: Entry[] = []
  for (const folder of folders) {
    for (const name of await namesIn(join(cache, folder))) {
      const path = join(cache, folder, name)
      // Reading counts as use where the file system notes it.
      const facts = await lstat(path)
      const usedAt = Math.max(facts.mtimeMs, facts.atimeMs)
      const bytes = facts.isDirectory() ? await folderSize(path) : facts.blocks * 512
      found.push({ path, usedAt, bytes })
    }
  }
  return found
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}
