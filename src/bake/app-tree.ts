import { open } from 'node:fs/promises'
import { posix } from 'node:path'
import { FairwayError } from '../model/errors.ts'
import type { SourceEntry, SourceTree } from '../model/source.ts'
import type { LayerEntry } from '../oci/layer-entry.ts'

/**
 * The part of a source that is baked: entries below `build.context`, paths relative to it, without what must never enter an
 * image (version control, environment files, keys, credentials of package managers), links checked.
 */
export interface AppTree {
  readonly entries: readonly SourceEntry[]
  /** Paths that were left out, folders as one path. */
  readonly leftOut: readonly string[]
  /** The file entry at `path`, or null. */
  file(path: string): (SourceEntry & { readonly type: 'file' }) | null
  contentPath(entry: SourceEntry & { readonly type: 'file' }): string
  /** Also reads what was left out of the image, such as .npmrc, for a build step. Null where absent. */
  readText(path: string, limit?: number): Promise<string | null>
  /** As the source's. */
  readonly linkable: boolean
}

/** @throws FairwayError INVALID_SOURCE where a link leaves the tree or the context is empty */
export async function openAppTree(source: SourceTree, context: string): Promise<AppTree> {
  const prefix = contextPrefix(context)
  const scoped =
    prefix === ''
      ? source.entries
      : source.entries
          .filter((entry) => entry.path.startsWith(prefix))
          .map((entry) => ({ ...entry, path: entry.path.slice(prefix.length) }))
  if (scoped.length === 0) {
    const where = prefix === '' ? 'the source' : `folder ${JSON.stringify(context)} of the source`
    throw new FairwayError('INVALID_SOURCE', `${where} contains no files`)
  }
  const leftOut = new Set<string>()
  const entries: SourceEntry[] = []
  for (const entry of scoped) {
    const reason = forbiddenPart(entry.path)
    if (reason !== null) leftOut.add(reason)
    else if (mayHoldKey(entry.path) && (await isPrivateKey(entry, source))) leftOut.add(entry.path)
    else entries.push(entry)
  }
  checkLinks(entries)
  const byPath = new Map(entries.map((entry) => [entry.path, entry]))
  return {
    entries,
    linkable: source.linkable ?? false,
    leftOut: [...leftOut].sort(),
    file: (path) => {
      const entry = byPath.get(posix.normalize(path))
      return entry?.type === 'file' ? entry : null
    },
    contentPath: (entry) => source.contentPath(entry.digest),
    readText: (path, limit) => source.readText(prefix + posix.normalize(path), limit),
  }
}

/** Layer entries for `tree`'s entries that `choose` accepts, placed below `root` ('app'). */
export function* appLayer(
  tree: AppTree,
  root: string,
  choose: (path: string) => boolean = () => true,
): Generator<LayerEntry> {
  const link = tree.linkable ? ({ link: 'immutable' } as const) : {}
  for (const entry of tree.entries) {
    if (!choose(entry.path)) continue
    const path = `${root}/${entry.path}`
    if (entry.type === 'symlink') yield { type: 'symlink', path, target: entry.target }
    else {
      yield {
        type: 'file',
        path,
        mode: entry.executable ? 0o755 : 0o644,
        content: { file: tree.contentPath(entry), size: entry.size, ...link },
      }
    }
  }
}

/** The shortest part of `path` that must never enter an image ('a/.git' of 'a/.git/config'), or null. */
export function forbiddenPart(path: string): string | null {
  // Nearly every path of a node_modules ends here; the list below is for the rest.
  if (!SUSPECT.test(path)) return null
  const parts = path.split('/')
  const index = parts.findIndex((part) => FORBIDDEN_NAMES.has(part) || part.startsWith('.env'))
  return index < 0 ? null : parts.slice(0, index + 1).join('/')
}

/**
 * Every link must stay inside the tree, also where it leads through other links; nothing may lie below a link.
 * @throws FairwayError INVALID_SOURCE naming the link and its target
 */
export function checkLinks(entries: readonly SourceEntry[]): void {
  const links = new Map(
    entries.flatMap((entry) => (entry.type === 'symlink' ? [[entry.path, entry.target]] : [])),
  )
  if (links.size === 0) return
  for (const { path } of entries) {
    const below = ancestors(path).find((folder) => links.has(folder))
    if (below === undefined) continue
    throw new FairwayError(
      'INVALID_SOURCE',
      `${JSON.stringify(path)} lies below the symbolic link ${JSON.stringify(below)}`,
    )
  }
  for (const [path, target] of links) {
    if (staysInside(path, target, links)) continue
    throw new FairwayError(
      'INVALID_SOURCE',
      `symbolic link ${JSON.stringify(path)} points to ${JSON.stringify(target)}, outside of the source`,
      { hint: 'Replace the link by the file itself, or leave it out with .fairwayignore.' },
    )
  }
}

/** Does the file at `file` begin like a private key in PEM or OpenSSH form? */
export async function holdsPrivateKey(file: string): Promise<boolean> {
  const handle = await open(file, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(KEY_SEARCH_BYTES),
      0,
      KEY_SEARCH_BYTES,
      0,
    )
    return /-----BEGIN [A-Z ]*PRIVATE KEY/.test(buffer.toString('latin1', 0, bytesRead))
  } finally {
    await handle.close()
  }
}

/** Is it worth looking into this file for a private key? */
export function mayHoldKey(path: string): boolean {
  return /\.(?:pem|key|ppk)$/i.test(path)
}

/** Every forbidden name begins like this. */
const SUSPECT = /(?:^|\/)(?:\.|id_)/

const KEY_SEARCH_BYTES = 64 * 1024

const FORBIDDEN_NAMES: ReadonlySet<string> = new Set([
  '.git',
  '.hg',
  '.svn',
  '.npmrc',
  '.yarnrc',
  '.yarnrc.yml',
  '.netrc',
  '.pypirc',
  '.dockercfg',
  '.ssh',
  '.aws',
  'id_rsa',
  'id_dsa',
  'id_ecdsa',
  'id_ed25519',
])

/** As the kernel resolves it: '..' leaves the folder that a link led to, not the link's own. More than 40 links are refused. */
function staysInside(path: string, target: string, links: ReadonlyMap<string, string>): boolean {
  const place = path.split('/').slice(0, -1)
  const rest = target.split('/')
  if (target.startsWith('/')) return false
  for (let followed = 0; rest.length > 0;) {
    const part = rest.shift() ?? ''
    if (part === '' || part === '.') continue
    if (part === '..') {
      if (place.pop() === undefined) return false
      continue
    }
    place.push(part)
    const next = links.get(place.join('/'))
    if (next === undefined) continue
    followed += 1
    if (followed > 40 || next.startsWith('/')) return false
    place.pop()
    rest.unshift(...next.split('/'))
  }
  return true
}

function ancestors(path: string): readonly string[] {
  const parts = path.split('/')
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'))
}

function contextPrefix(context: string): string {
  const normal = posix.normalize(context)
  if (normal === '.' || normal === './') return ''
  if (normal.startsWith('/') || normal.startsWith('..')) {
    throw new FairwayError(
      'INVALID_SOURCE',
      `build.context ${JSON.stringify(context)} is outside of the source`,
    )
  }
  return normal.endsWith('/') ? normal : `${normal}/`
}

async function isPrivateKey(entry: SourceEntry, source: SourceTree): Promise<boolean> {
  if (entry.type !== 'file') return false
  return holdsPrivateKey(source.contentPath(entry.digest))
}
