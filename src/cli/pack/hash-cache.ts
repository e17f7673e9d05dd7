import { createHash, hash } from 'node:crypto'
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { isMissing } from '../../lib/missing-file.ts'
import type { Digest } from '../../model/release.ts'

/** What identifies an unchanged file without reading it. Times are milliseconds with fractions. */
export interface FileFacts {
  readonly size: number
  readonly mtimeMs: number
  readonly ctimeMs: number
  readonly ino: number
}

/** size, mtime, ctime, inode, digest (hex), generation in which the content was first seen. */
type Row = readonly [number, number, number, number, string, number]

interface Saved {
  readonly version: 1
  readonly generation: number
  readonly accepted: Readonly<Record<string, number>>
  readonly files: Readonly<Record<string, Row>>
}

/**
 * A file changed within this time of being hashed may change again without its times showing it (coarse file system clocks: git
 * calls such entries racy), so it is not remembered and hashed again next time.
 */
const RACY_MS = 2000
const CHUNK = 1 << 20

/**
 * Digests of one folder's files, remembered between runs by size, times and inode, and which of them a server has had. Losing the
 * file costs only time.
 */
export class HashCache {
  /** Where it is kept. */
  readonly file: string
  readonly #generation: number
  readonly #before: Readonly<Record<string, Row>>
  readonly #after: Record<string, Row> = {}
  readonly #accepted: Record<string, number>
  #buffer: Uint8Array | null = null
  #changed = false
  #kept = 0

  private constructor(file: string, saved: Saved) {
    this.file = file
    this.#generation = saved.generation + 1
    this.#before = saved.files
    this.#accepted = { ...saved.accepted }
  }

  /** `root` is the absolute path of what is packed, `folder` where the user's caches lie. */
  static open(folder: string, root: string): HashCache {
    const file = join(folder, `${hash('sha256', root, 'hex').slice(0, 32)}.json`)
    return new HashCache(file, load(file))
  }

  /** Digest of the file's content, read only where it is not known. `path` is the key, `file` where it lies, `now` the time of the look. */
  digest(path: string, file: string, facts: FileFacts, now: number): Digest {
    const known = this.#before[path]
    if (known !== undefined && sameFile(known, facts)) {
      this.#after[path] = known
      this.#kept++
      return `sha256:${known[4]}`
    }
    this.#buffer ??= Buffer.allocUnsafe(CHUNK)
    const read = hashFile(file, this.#buffer)
    this.#changed = true
    if (read.size === facts.size && Math.max(facts.mtimeMs, facts.ctimeMs) < now - RACY_MS) {
      const { mtimeMs, ctimeMs, ino } = facts
      this.#after[path] = [facts.size, mtimeMs, ctimeMs, ino, read.hex, this.#generation]
    }
    return `sha256:${read.hex}`
  }

  /** Whether the server is known to have had this path's content: it took a source of this generation or a later one. */
  serverHas(server: string, path: string): boolean {
    const generation = this.#after[path]?.[5]
    return generation !== undefined && generation <= (this.#accepted[server] ?? -1)
  }

  /** False until a server took a source of this folder. */
  servedBefore(server: string): boolean {
    return this.#accepted[server] !== undefined
  }

  /** To be called when the server took the source. */
  accept(server: string): void {
    if (!this.#changed && this.#accepted[server] === this.#generation - 1) return
    this.#accepted[server] = this.#generation
    this.#changed = true
  }

  /** To be called when the server lacks what it should have. */
  forget(server: string): void {
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete
    delete this.#accepted[server]
    this.#changed = true
  }

  save(): void {
    if (!this.#changed && this.#kept === Object.keys(this.#before).length) return
    const saved: Saved = {
      version: 1,
      generation: this.#generation,
      accepted: this.#accepted,
      files: this.#after,
    }
    mkdirSync(join(this.file, '..'), { recursive: true, mode: 0o700 })
    // Two deploys of one folder at a time must not mix their halves; what is lost in a crash is only time.
    const temporary = `${this.file}.${process.pid}.tmp`
    writeFileSync(temporary, JSON.stringify(saved), { mode: 0o600 })
    renameSync(temporary, this.file)
  }
}

function sameFile(row: Row, facts: FileFacts): boolean {
  return (
    row[0] === facts.size &&
    row[1] === facts.mtimeMs &&
    row[2] === facts.ctimeMs &&
    row[3] === facts.ino
  )
}

/** Nothing remembered where there is no file, or one that is broken or of another version. */
function load(file: string): Saved {
  const empty: Saved = { version: 1, generation: 0, accepted: {}, files: {} }
  try {
    const saved = JSON.parse(readFileSync(file, 'utf8')) as Partial<Saved> | null
    if (saved?.version !== 1 || typeof saved.generation !== 'number') return empty
    if (!isRecord(saved.files) || !isRecord(saved.accepted)) return empty
    return { ...empty, ...saved }
  } catch (error) {
    if (isMissing(error) || error instanceof SyntaxError) return empty
    throw error
  }
}

/** Reads through `buffer`, which is one for all files: allocating it for each costs more than reading a small file. */
function hashFile(
  file: string,
  buffer: Uint8Array,
): { readonly hex: string; readonly size: number } {
  const handle = openSync(file, 'r')
  try {
    let count = readSync(handle, buffer)
    if (count < buffer.length) {
      return { hex: hash('sha256', buffer.subarray(0, count), 'hex'), size: count }
    }
    const digest = createHash('sha256')
    let size = 0
    while (count > 0) {
      digest.update(buffer.subarray(0, count))
      size += count
      count = readSync(handle, buffer)
    }
    return { hex: digest.digest('hex'), size }
  } finally {
    closeSync(handle)
  }
}

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}
