import { lstatSync, readdirSync, readlinkSync, realpathSync, type Dirent } from 'node:fs'
import { basename, isAbsolute, join, posix, sep } from 'node:path'
import { isMissing } from '../../lib/missing-file.ts'
import { FairwayError } from '../../model/errors.ts'
import type { IgnoreRules } from './ignore-rules.ts'
import { defaultRules, isSecretFile, neverEntered, NODE_LOCKFILES } from './left-out.ts'
import type { FileFacts } from './hash-cache.ts'

export type FoundEntry =
  | {
      readonly type: 'file'
      readonly path: string
      readonly file: string
      readonly executable: boolean
      readonly facts: FileFacts
    }
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }

export interface Walked {
  /** Sorted by the bytes of the path. */
  readonly entries: readonly FoundEntry[]
  /** Paths of secrets that were left out. */
  readonly secrets: readonly string[]
  /** Sockets, pipes and devices, which no image can hold. */
  readonly special: readonly string[]
}

export interface WalkOptions {
  /** The user's rules, or null. */
  readonly rules: IgnoreRules | null
  /** False for an OCI layout, which is taken whole. */
  readonly defaults: boolean
  /** Paths that are left out although no rule says so. */
  readonly except: ReadonlySet<string>
}

/**
 * Everything under `root` that belongs to the source.
 * @throws FairwayError INVALID_SOURCE for links that leave the folder and names that are not UTF-8
 */
export function walk(root: string, options: WalkOptions): Walked {
  const walker = new Walker(root, options)
  walker.enter('', false)
  return walker.result()
}

class Walker {
  readonly #root: string
  readonly #realRoot: string
  readonly #options: WalkOptions
  readonly #entries: FoundEntry[] = []
  readonly #secrets: string[] = []
  readonly #special: string[] = []

  constructor(root: string, options: WalkOptions) {
    this.#root = root
    this.#realRoot = realpathSync.native(root)
    this.#options = options
  }

  /** `folder` is relative with a trailing slash, or empty. */
  enter(folder: string, lockedAbove: boolean): void {
    const children = readdirSync(join(this.#root, folder), { withFileTypes: true })
    const locked =
      lockedAbove ||
      children.some(({ name }) => NODE_LOCKFILES.some((lockfile) => lockfile === name))
    if (this.#options.defaults && children.some(({ name }) => name === 'pyvenv.cfg')) return
    for (const child of children) {
      const path = `${folder}${child.name}`
      if (child.name.includes('\ufffd')) {
        throw new FairwayError('INVALID_SOURCE', `${path}: the name is not UTF-8`)
      }
      if (child.isDirectory()) this.#folder(path, child.name, locked)
      else this.#leaf(path, child)
    }
  }

  result(): Walked {
    return {
      entries: sortedByBytes(this.#entries),
      secrets: this.#secrets.sort(),
      special: this.#special.sort(),
    }
  }

  #folder(path: string, name: string, locked: boolean): void {
    const { rules, defaults } = this.#options
    if (defaults) {
      const never = neverEntered(name)
      if (never === 'secret') this.#secrets.push(`${path}/`)
      if (never !== null) return
      if (locked && name === 'node_modules' && !this.#broughtBack(path, true)) return
      if (defaultRules.ignores(path, true) && !this.#broughtBack(path, true)) return
    }
    if (rules?.prunes === true && rules.ignores(path, true)) return
    this.enter(`${path}/`, locked)
  }

  #leaf(path: string, child: Dirent): void {
    const { rules, defaults, except } = this.#options
    if (except.has(path)) return
    if (defaults) {
      // A `.git` file stands in worktrees and submodules.
      if (neverEntered(child.name) !== null) return
      if (defaultRules.ignores(path, false) && !this.#broughtBack(path, false)) return
    }
    if (rules?.ignores(path, false) === true) return
    if (child.isSymbolicLink()) {
      this.#entries.push({ type: 'symlink', path, target: this.#target(path) })
    } else if (child.isFile()) {
      this.#file(path, child.name)
    } else {
      this.#special.push(path)
    }
  }

  #file(path: string, name: string): void {
    const file = join(this.#root, path)
    if (this.#options.defaults && isSecretFile(name, file)) {
      this.#secrets.push(path)
      return
    }
    this.#entries.push(foundFile(path, file))
  }

  #broughtBack(path: string, folder: boolean): boolean {
    return this.#options.rules?.bringsBack(path, folder) === true
  }

  #target(path: string): string {
    const link = join(this.#root, path)
    const target = readlinkSync(link).split(sep).join('/')
    const leaves = (why: string): FairwayError =>
      new FairwayError('INVALID_SOURCE', `${path} is a link to ${target}, ${why}`, {
        hint: 'Replace the link by what it points to, make it relative and inside, or name it in .fairwayignore.',
        details: { path, target },
      })
    if (isAbsolute(target)) throw leaves('an absolute path, which does not exist in an image')
    const inside = posix.normalize(posix.join(posix.dirname(path), target))
    if (inside === '..' || inside.startsWith('../')) throw leaves('which lies outside the folder')
    const real = realpathIfExists(link)
    if (real !== null && real !== this.#realRoot && !real.startsWith(this.#realRoot + sep)) {
      throw leaves('which leads outside the folder')
    }
    return target
  }
}

/** The one entry of a source that is a single file. */
export function walkFile(file: string): Walked {
  return { entries: [foundFile(basename(file), file)], secrets: [], special: [] }
}

function foundFile(path: string, file: string): FoundEntry {
  const stat = lstatSync(file)
  return {
    type: 'file',
    path,
    file,
    executable: (stat.mode & 0o111) !== 0,
    facts: { size: stat.size, mtimeMs: stat.mtimeMs, ctimeMs: stat.ctimeMs, ino: stat.ino },
  }
}

function realpathIfExists(path: string): string | null {
  try {
    // The other one follows `a/..` by its letters, not by where `a` leads.
    return realpathSync.native(path)
  } catch (error) {
    // A link into nothing or in a circle leads nowhere, so not outside either.
    if (isMissing(error) || (error instanceof Error && 'code' in error && error.code === 'ELOOP')) {
      return null
    }
    throw error
  }
}

/** UTF-16 order is the order of UTF-8 bytes as long as no character lies beyond U+FFFF. */
function sortedByBytes(entries: FoundEntry[]): FoundEntry[] {
  const plain = !entries.some(({ path }) => /[\ud800-\udfff]/.test(path))
  return entries.sort((a, b) =>
    plain ? (a.path < b.path ? -1 : 1) : Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)),
  )
}
