import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { isMissing } from '../../lib/missing-file.ts'
import type { Digest } from '../../model/release.ts'
import type { SourceEntry } from '../../model/source.ts'
import { HashCache } from './hash-cache.ts'
import { dockerIgnoreRules, gitIgnoreRules, type IgnoreRules } from './ignore-rules.ts'
import { walk, walkFile, type Walked } from './walk.ts'

export interface PackOptions {
  /** Absolute path of a folder or a file. */
  readonly path: string
  readonly isFolder: boolean
  /** Folder of the user's caches. */
  readonly cacheDir: string
  readonly now: number
  /** Paths inside that do not travel: the app file, which goes on its own. */
  readonly except?: ReadonlySet<string>
}

/** One content of the source and where to read it. */
export interface PackedContent {
  readonly digest: Digest
  readonly size: number
  readonly file: string
  /** Path inside the source; the first one of several with this content. */
  readonly path: string
}

/** A source as it is handed to a server: what there is, and how to read it. */
export interface Pack {
  readonly entries: readonly SourceEntry[]
  readonly contents: ReadonlyMap<Digest, PackedContent>
  readonly bytes: number
  /** Which ignore file was used; null where there was none. */
  readonly ignoreFile: string | null
  readonly secrets: readonly string[]
  readonly special: readonly string[]
  readonly cache: HashCache
}

/**
 * Lists and hashes a folder or a single artifact.
 * @throws FairwayError INVALID_SOURCE for links that leave the folder
 */
export function pack(options: PackOptions): Pack {
  const { path, cacheDir, now } = options
  const layout = options.isFolder && existsSync(join(path, 'oci-layout'))
  const { rules, ignoreFile } =
    options.isFolder && !layout ? ignoreRules(path) : { rules: null, ignoreFile: null }
  const walked = options.isFolder
    ? walk(path, { rules, defaults: !layout, except: options.except ?? new Set() })
    : walkFile(path)
  const cache = HashCache.open(join(cacheDir, 'hashes'), path)
  // Images and artifacts are taken whole; in a folder a `!` line has the last word.
  const takesSecret = (path: string): boolean =>
    !options.isFolder || layout || rules?.bringsBack(path, false) === true
  return { ...hashed(walked, { cache, now, takesSecret }), ignoreFile, cache }
}

/** The bytes of a content in pieces. */
export function* readContent(content: PackedContent): Generator<Uint8Array> {
  const handle = openSync(content.file, 'r')
  try {
    for (;;) {
      const buffer = Buffer.allocUnsafe(Math.min(Math.max(content.size, 1), 256 * 1024))
      const count = readSync(handle, buffer)
      if (count === 0) return
      yield buffer.subarray(0, count)
    }
  } finally {
    closeSync(handle)
  }
}

interface HashOptions {
  readonly cache: HashCache
  readonly now: number
  /** Whether a file travels although it holds a private key. */
  readonly takesSecret: (path: string) => boolean
}

function hashed(
  walked: Walked,
  { cache, now, takesSecret }: HashOptions,
): Pick<Pack, 'entries' | 'contents' | 'bytes' | 'secrets' | 'special'> {
  const contents = new Map<Digest, PackedContent>()
  const entries: SourceEntry[] = []
  const keys: string[] = []
  let bytes = 0
  for (const found of walked.entries) {
    const { path } = found
    if (found.type === 'symlink') {
      entries.push({ type: 'symlink', path, target: found.target })
      continue
    }
    const { digest, isSecret } = cache.content(path, found.file, found.facts, now)
    if (isSecret && !takesSecret(path)) {
      keys.push(path)
      continue
    }
    const { size } = found.facts
    bytes += size
    if (!contents.has(digest)) contents.set(digest, { digest, size, file: found.file, path })
    entries.push({ type: 'file', path, size, executable: found.executable, digest })
  }
  const secrets = [...walked.secrets, ...keys].sort()
  return { entries, contents, bytes, secrets, special: walked.special }
}

/**
 * `.fairwayignore` where there is one, else `.dockerignore`. Not `.gitignore`: what git ignores is often just what is to be
 * deployed, such as dist/ and target/.
 */
function ignoreRules(folder: string): {
  readonly rules: IgnoreRules | null
  readonly ignoreFile: string | null
} {
  const own = textIfExists(join(folder, '.fairwayignore'))
  if (own !== null) return { rules: gitIgnoreRules(own), ignoreFile: '.fairwayignore' }
  const docker = textIfExists(join(folder, '.dockerignore'))
  if (docker !== null) return { rules: dockerIgnoreRules(docker), ignoreFile: '.dockerignore' }
  return { rules: null, ignoreFile: null }
}

function textIfExists(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
