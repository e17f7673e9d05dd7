import { FairwayError } from '../model/errors.ts'
import type { SourceEntry } from '../model/source.ts'

const MAX_PATH_BYTES = 4096
const MAX_SEGMENT_BYTES = 255
/** As the kernel: more links on the way than this are a loop (path_resolution(7)). */
const MAX_LINKS = 40

/**
 * The entries sorted by the bytes of their paths, once each one is safe to write on any host: nothing outside the tree, nothing through a
 * link, nothing twice, nothing that only letter case tells apart.
 * @throws FairwayError INVALID_SOURCE naming the path
 */
export function checkedEntries(entries: readonly SourceEntry[]): readonly SourceEntry[] {
  const byPath = new Map<string, SourceEntry>()
  const folded = new Map<string, string>()
  for (const entry of entries) {
    const wrong = pathProblem(entry.path)
    if (wrong !== null) throw invalid(entry.path, wrong)
    if (byPath.has(entry.path)) throw invalid(entry.path, 'stands there twice')
    byPath.set(entry.path, entry)
    claimName(folded, entry.path)
  }
  const checkedFolders = new Set<string>()
  for (const entry of entries) {
    checkParents(entry.path, byPath, folded, checkedFolders)
    if (entry.type === 'symlink') checkLink(entry.path, entry.target, byPath)
  }
  return sortByBytes(entries)
}

/** What is wrong with a relative path, null = nothing. */
export function pathProblem(path: string): string | null {
  if (path === '') return 'is empty'
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `is longer than ${MAX_PATH_BYTES} bytes`
  if (!path.isWellFormed()) return 'is not valid Unicode'
  if (path.startsWith('/')) return 'is absolute'
  if (path.includes('\\')) return 'has a backslash'

  if (/[\u0000-\u001f\u007f]/.test(path)) return 'has a control character'
  for (const segment of path.split('/')) {
    if (segment === '') return 'has an empty segment'
    if (segment === '.' || segment === '..') return `has the segment ${segment}`
    if (Buffer.byteLength(segment) > MAX_SEGMENT_BYTES)
      return `has a segment longer than ${MAX_SEGMENT_BYTES} bytes`
  }
  return null
}

/** File systems of laptops take README and readme, or two ways to write é, for one file. */
function claimName(folded: Map<string, string>, path: string): void {
  const key = fold(path)
  const other = folded.get(key)
  if (other !== undefined && other !== path)
    throw invalid(path, `and ${JSON.stringify(other)} differ only in letter case or accents`)
  folded.set(key, path)
}

function checkParents(
  path: string,
  byPath: ReadonlyMap<string, SourceEntry>,
  folded: Map<string, string>,
  checked: Set<string>,
): void {
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
    const folder = path.slice(0, end)
    if (checked.has(folder)) return
    const entry = byPath.get(folder)
    if (entry !== undefined)
      throw invalid(path, `lies below ${JSON.stringify(folder)}, which is a ${entry.type}`)
    claimName(folded, folder)
    checked.add(folder)
  }
}

function checkLink(path: string, target: string, byPath: ReadonlyMap<string, SourceEntry>): void {
  const shown = `is a link to ${JSON.stringify(target.slice(0, 200))}, which`
  if (target === '' || target.includes('\0') || !target.isWellFormed())
    throw invalid(path, `${shown} is no path`)
  if (Buffer.byteLength(target) > MAX_PATH_BYTES) throw invalid(path, `${shown} is too long`)
  if (target.startsWith('/') || target.includes('\\'))
    throw invalid(path, `${shown} leaves the source; only relative links inside it are possible`)
  const answer = follow(path.split('/').slice(0, -1), target, byPath, { links: 0 })
  if (answer === 'outside') throw invalid(path, `${shown} leaves the source`)
  if (answer === 'loop') throw invalid(path, `${shown} leads in a circle`)
}

/** Resolves a link the way the kernel does, other links on the way included; a target that is not there is fine. */
function follow(
  folder: readonly string[],
  target: string,
  byPath: ReadonlyMap<string, SourceEntry>,
  budget: { links: number },
): readonly string[] | 'outside' | 'loop' {
  let at: readonly string[] = folder
  for (const segment of target.split('/')) {
    if (segment === '' || segment === '.') continue
    if (segment === '..') {
      if (at.length === 0) return 'outside'
      at = at.slice(0, -1)
      continue
    }
    const next = [...at, segment]
    const entry = byPath.get(next.join('/'))
    if (entry?.type !== 'symlink') {
      at = next
      continue
    }
    budget.links++
    if (budget.links > MAX_LINKS) return 'loop'
    if (entry.target.startsWith('/')) return 'outside'
    const resolved = follow(at, entry.target, byPath, budget)
    if (typeof resolved === 'string') return resolved
    at = resolved
  }
  return at
}

function sortByBytes(entries: readonly SourceEntry[]): readonly SourceEntry[] {
  return entries
    .map((entry) => ({ entry, bytes: Buffer.from(entry.path) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ entry }) => entry)
}

function fold(path: string): string {
  return path.normalize('NFC').toLowerCase()
}

function invalid(path: string, what: string): FairwayError {
  const shown = JSON.stringify(path.length > 200 ? `${path.slice(0, 199)}…` : path)
  return new FairwayError('INVALID_SOURCE', `the path ${shown} ${what}`, {
    details: { path: path.slice(0, 1000) },
  })
}
