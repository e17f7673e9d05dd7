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
import { holdsPrivateKey } from './private-key.ts'

/** What identifies an unchanged file without reading it. Times are milliseconds with fractions. */
export interface FileFacts {
  readonly size: number
  readonly mtimeMs: number
  readonly ctimeMs: number
  readonly ino: number
}

/** size, mtime, ctime, inode, digest (hex), generation in which the content was first seen, 1 where it holds a private key. */
type Row = readonly [number, number, number, number, string, number, 0 | 1]

/** What reading a file told. */
export interface FileContent {
  readonly digest: Digest
  readonly isSecret: boolean
}

interface Saved {
  readonly version: typeof VERSION
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
const VERSION = 2

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
  #buffer: Buffer | null = null
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

  /** Of the file's content, read only where it is not known. `path` is the key, `file` where it lies, `now` the time of the look. */
  content(path: string, file: string, facts: FileFacts, now: number): FileContent {
    const known = this.#before[path]
    if (known !== undefined && sameFile(known, facts)) {
      this.#after[path] = known
      this.#kept++
      return { digest: `sha256:${known[4]}`, isSecret: known[6] === 1 }
    }
    this.#buffer ??= Buffer.allocUnsafe(CHUNK)
    const read = hashFile(file, this.#buffer)
    this.#changed = true
    if (read.size === facts.size && Math.max(facts.mtimeMs, facts.ctimeMs) < now - RACY_MS) {
      const { mtimeMs, ctimeMs, ino } = facts
      const secret = read.isSecret ? 1 : 0
      this.#after[path] = [facts.size, mtimeMs, ctimeMs, ino, read.hex, this.#generation, secret]
    }
    return { digest: `sha256:${read.hex}`, isSecret: read.isSecret }
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
      version: VERSION,
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
  const empty: Saved = { version: VERSION, generation: 0, accepted: {}, files: {} }
  try {
    const saved = JSON.parse(readFileSync(file, 'utf8')) as Partial<Saved> | null
    if (saved?.version !== VERSION || typeof saved.generation !== 'number') return empty
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
  buffer: Buffer,
): { readonly hex: string; readonly size: number; readonly isSecret: boolean } {
  const handle = openSync(file, 'r')
  try {
    let count = readSync(handle, buffer)
    if (count < buffer.length) {
      const content = buffer.subarray(0, count)
      return {
        hex: hash('sha256', content, 'hex'),
        size: count,
        isSecret: holdsPrivateKey(content),
      }
    }
    const digest = createHash('sha256')
    let size = 0
    let isSecret = false
    while (count > 0) {
      const piece = buffer.subarray(0, count)
      digest.update(piece)
      isSecret ||= holdsPrivateKey(piece)
      size += count
      count = readSync(handle, buffer)
    }
    return { hex: digest.digest('hex'), size, isSecret }
  } finally {
    closeSync(handle)
  }
}

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}
