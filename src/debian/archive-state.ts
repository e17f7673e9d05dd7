/** What an archive knows of its verified suites between runs: one small JSON file per set of sources. */
import { createHash } from 'node:crypto'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import type { AptSource } from './apt-source.ts'
import type { DebianArchitecture } from './debian-package.ts'

export interface SuiteRecord {
  readonly uri: string
  readonly suite: string
  /** apt_preferences(5) rank of the suite. */
  readonly priority: number
  /** Milliseconds since 1970: when we last saw it with a valid signature, its own Date and Valid-Until. */
  readonly verifiedAt: number
  readonly date: number
  readonly validUntil: number | null
  /** SHA-256 of the signed text. */
  readonly release: string
  /** Names of the index files below `indexes/`. */
  readonly indexes: readonly string[]
}

export interface ArchiveState {
  readonly suites: readonly SuiteRecord[]
}

const FORMAT = 1

export function statePath(
  cacheDir: string,
  sources: readonly AptSource[],
  architecture: DebianArchitecture,
): string {
  const what = sources.map((source) => ({ ...source, origin: '' }))
  const key = createHash('sha256').update(JSON.stringify(what)).digest('hex').slice(0, 16)
  return join(cacheDir, `suites-${architecture}-${key}.json`)
}

/** Empty where there is none, or one of another format: the next refresh writes it anew. */
export async function readState(path: string): Promise<ArchiveState> {
  const text = await readIfExists(path)
  if (text === null) return { suites: [] }
  const parsed = JSON.parse(text) as Partial<ArchiveState> & { readonly format?: number }
  if (parsed.format !== FORMAT || !Array.isArray(parsed.suites)) return { suites: [] }
  return { suites: parsed.suites as readonly SuiteRecord[] }
}

export async function writeState(path: string, state: ArchiveState): Promise<void> {
  await writeAtomically(path, JSON.stringify({ format: FORMAT, ...state }, null, 1))
}

/** Deletes index files that no state names any more and that are older than a day: a younger one may belong to a refresh under way. */
export async function pruneIndexes(cacheDir: string, now: number): Promise<void> {
  const states = (await readdir(cacheDir)).filter((name) => /^suites-.*\.json$/.test(name))
  const used = new Set<string>()
  for (const name of states) {
    const { suites } = await readState(join(cacheDir, name))
    for (const suite of suites) for (const index of suite.indexes) used.add(index)
  }
  const folder = join(cacheDir, 'indexes')
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    if (used.has(name) || now - (await stat(path)).mtimeMs < 86_400_000) continue
    await rm(path, { force: true })
  }
}
