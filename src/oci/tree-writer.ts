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
} from 'node:fs'
import { join } from 'node:path'
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
    const full = join(this.#root, path)
    mkdirSync(full, 0o700)
    this.#own(full, attributes)
    chmodSync(full, attributes.mode)
    this.#folders.set(full, attributes.mtime)
  }

  makeFolder(path: string): void {
    mkdirSync(join(this.#root, path), 0o700)
  }

  dressFolder(path: string, attributes: Attributes): void {
    const full = join(this.#root, path)
    this.#own(full, attributes)
    chmodSync(full, attributes.mode)
    utimesSync(full, attributes.mtime, attributes.mtime)
  }

  hardlink(path: string, existing: string): void {
    linkSync(join(this.#root, existing), join(this.#root, path))
  }

  remove(path: string): void {
    rmSync(join(this.#root, path), { recursive: true, force: true })
  }

  symlink(path: string, target: string, attributes: Attributes): void {
    const full = join(this.#root, path)
    symlinkSync(target, full)
    this.#own(full, attributes)
    lutimesSync(full, attributes.mtime, attributes.mtime)
  }

  /** Creates a file and returns where its content goes; `close` it. */
  file(path: string, attributes: Attributes): NewFile {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
    const descriptor = openSync(join(this.#root, path), flags, 0o600)
    return {
      write: (data, offset, length) => {
        for (let done = 0; done < length;) {
          done += writeSync(descriptor, data, offset + done, length - done)
        }
      },
      close: () => {
        try {
          this.#dress(descriptor, attributes)
        } finally {
          closeSync(descriptor)
        }
      },
      abort: () => closeSync(descriptor),
    }
  }

  /** Hard-links the open source, after giving that inode the layer's attributes. False where the source cannot be linked here. */
  link(
    path: string,
    source: { file: string; descriptor: number },
    attributes: Attributes,
  ): boolean {
    try {
      linkSync(source.file, join(this.#root, path))
    } catch (error) {
      if (['EXDEV', 'EMLINK', 'EPERM'].includes(errno(error) ?? '')) return false
      throw error
    }
    this.#dress(source.descriptor, attributes)
    return true
  }

  end(): void {
    for (const [full, mtime] of this.#folders) utimesSync(full, mtime, mtime)
  }

  // Private

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

  #dress(descriptor: number, attributes: Attributes): void {
    const has = fstatSync(descriptor)
    // Owner first: changing it clears setuid bits.
    if (this.#ids.change) {
      const uid = this.#hostId(attributes.uid)
      const gid = this.#hostId(attributes.gid)
      if (has.uid !== uid || has.gid !== gid) fchownSync(descriptor, uid, gid)
    }
    if ((has.mode & 0o7777) !== attributes.mode) fchmodSync(descriptor, attributes.mode)
    if (has.mtimeMs !== attributes.mtime * 1000) {
      futimesSync(descriptor, attributes.mtime, attributes.mtime)
    }
  }
}

export interface NewFile {
  readonly write: (data: Uint8Array, offset: number, length: number) => void
  readonly close: () => void
  readonly abort: () => void
}
