import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeSync,
  type Stats,
} from 'node:fs'
import type { FileSource } from './layer-entry.ts'
import { errno, OciError } from './oci-error.ts'

export interface Attributes {
  readonly uid: number
  readonly gid: number
  readonly mode: number
  readonly mtime: number
}

/** Where ids inside containers begin on this host, and how many there are. */
export interface IdMap {
  readonly offset: number
  /** False = keep the owner that a new file gets: we are not root, or nothing is mapped. */
  readonly change: boolean
}

export const MAPPED_IDS = 65_536

/**
 * Writes a layer's files below one new folder that nobody else touches. Synchronous on purpose: a layer is many thousand tiny
 * files, and one trip to the thread pool costs more than the call itself. Paths must be clean and their parents real folders.
 */
export class TreeWriter {
  readonly #root: string
  readonly #ids: IdMap
  /** Folder times are set last: adding children changes them. */
  readonly #folders = new Map<string, number>()

  constructor(root: string, ids: IdMap) {
    this.#root = root
    this.#ids = ids
  }

  folder(path: string, attributes: Attributes): void {
    const full = this.#full(path)
    mkdirSync(full, 0o700)
    this.#own(full, attributes)
    chmodSync(full, attributes.mode)
    this.#folders.set(full, attributes.mtime)
  }

  makeFolder(path: string): void {
    mkdirSync(this.#full(path), 0o700)
  }

  dressFolder(path: string, attributes: Attributes): void {
    const full = this.#full(path)
    this.#own(full, attributes)
    chmodSync(full, attributes.mode)
    utimesSync(full, attributes.mtime, attributes.mtime)
  }

  hardlink(path: string, existing: string): void {
    linkSync(this.#full(existing), this.#full(path))
  }

  remove(path: string): void {
    rmSync(this.#full(path), { recursive: true, force: true })
  }

  symlink(path: string, target: string, attributes: Attributes): void {
    const full = this.#full(path)
    symlinkSync(target, full)
    this.#own(full, attributes)
    lutimesSync(full, attributes.mtime, attributes.mtime)
  }

  /** Creates a file and returns where its content goes; `close` it. */
  file(path: string, attributes: Attributes): NewFile {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
    const descriptor = openSync(this.#full(path), flags, 0o600)
    return {
      write: (data, offset, length) => {
        for (let done = 0; done < length;) {
          done += writeSync(descriptor, data, offset + done, length - done)
        }
      },
      close: () => {
        try {
          this.#dress(descriptor, fstatSync(descriptor), attributes)
        } finally {
          closeSync(descriptor)
        }
      },
      abort: () => closeSync(descriptor),
    }
  }

  /** Hard-links the open source and gives that inode the layer's attributes. False where the source may not or cannot be linked. */
  link(path: string, opened: OpenSource, attributes: Attributes): boolean {
    const { descriptor, stats, source } = opened
    const { link, file } = source
    if (link === undefined || (link === 'immutable' && !this.#ids.change)) return false
    if (stats.nlink > 1 && (link === 'private' || !this.#isDressed(stats, attributes))) return false
    const full = this.#full(path)
    try {
      linkSync(file, full)
    } catch (error) {
      if (['EXDEV', 'EMLINK', 'EPERM'].includes(errno(error) ?? '')) return false
      throw error
    }
    // The name could lead elsewhere by now: then the open file did not get another name.
    const now = fstatSync(descriptor)
    if (now.nlink !== stats.nlink + 1) {
      throw new OciError('INVALID_REQUEST', `${file} was replaced while it was read`)
    }
    this.#dress(descriptor, now, attributes)
    return true
  }

  end(): void {
    for (const [full, mtime] of this.#folders) utimesSync(full, mtime, mtime)
  }

  // Private

  /** Paths are clean: no need for what path.join does to them. */
  #full(path: string): string {
    return path === '' ? this.#root : `${this.#root}/${path}`
  }

  #hostId(id: number): number {
    if (id >= 0 && id < MAPPED_IDS) return this.#ids.offset + id
    throw new OciError(
      'INVALID_IMAGE',
      `user or group id ${id} is not between 0 and ${MAPPED_IDS - 1}`,
    )
  }

  #own(full: string, { uid, gid }: Attributes): void {
    if (this.#ids.change) lchownSync(full, this.#hostId(uid), this.#hostId(gid))
  }

  #dress(descriptor: number, has: Stats, attributes: Attributes): void {
    // Owner first: changing it clears setuid bits.
    if (!this.#isOwned(has, attributes)) {
      fchownSync(descriptor, this.#hostId(attributes.uid), this.#hostId(attributes.gid))
    }
    if ((has.mode & 0o7777) !== attributes.mode) fchmodSync(descriptor, attributes.mode)
    if (has.mtimeMs !== attributes.mtime * 1000) {
      futimesSync(descriptor, attributes.mtime, attributes.mtime)
    }
  }

  #isDressed(has: Stats, attributes: Attributes): boolean {
    const { mode, mtime } = attributes
    if (!this.#isOwned(has, attributes)) return false
    return (has.mode & 0o7777) === mode && has.mtimeMs === mtime * 1000
  }

  #isOwned(has: Stats, { uid, gid }: Attributes): boolean {
    if (!this.#ids.change) return true
    return has.uid === this.#hostId(uid) && has.gid === this.#hostId(gid)
  }
}

/** A regular file that may be linked, with what fstat said when it was opened. */
export interface OpenSource {
  readonly source: FileSource
  readonly descriptor: number
  readonly stats: Stats
}

export interface NewFile {
  readonly write: (data: Uint8Array, offset: number, length: number) => void
  readonly close: () => void
  readonly abort: () => void
}
