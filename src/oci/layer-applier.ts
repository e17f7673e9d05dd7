import { Breather } from '../lib/breather.ts'
import { OciError } from './oci-error.ts'
import type { TarEntry, TarReader } from './tar-reader.ts'
import { MAPPED_IDS, type Attributes, type NewFile } from './tree-writer.ts'

/** Where an applied layer goes. Paths are clean, and every parent of them is a real folder that was made before. */
export interface TreeTarget {
  makeFolder(path: string): void
  /** Called last, children before parents. */
  dressFolder(path: string, attributes: Attributes): void
  file(path: string, attributes: Attributes): NewFile
  symlink(path: string, target: string, attributes: Attributes): void
  hardlink(path: string, existing: string): void
  /** Recursively; never follows a symlink. */
  remove(path: string): void
}

export interface AppliedFacts {
  readonly stackable: boolean
  /** Folders that only stand in longer paths; see LayerRecord. */
  readonly implied: readonly string[]
  readonly symlinks: readonly string[]
  readonly contentBytes: number
  /** Devices, FIFOs and extended attributes that were left out by policy: 'dev/null: special file'. */
  readonly dropped: readonly string[]
}

interface Folder {
  readonly kind: 'folder'
  readonly children: Map<string, Node>
  attributes: Attributes
  layer: number
  /** The newest layer that put something below. */
  newest: number
}
type Node =
  | Folder
  | { readonly kind: 'file'; readonly layer: number }
  | { readonly kind: 'symlink'; readonly target: string; readonly layer: number }

const IMPLICIT: Attributes = { uid: 0, gid: 0, mode: 0o755, mtime: 0 }
const MAX_LINKS = 40
const MAX_DEPTH = 256
/** NAME_MAX of Linux. */
const MAX_NAME_BYTES = 255
const WHITEOUT = '.wh.'
const OPAQUE = '.wh..wh..opq'

/**
 * Applies tar layers, bottom first, as image-spec layer.md says. The folder tree is kept in memory and every path is resolved there, symlinks
 * staying inside; so the disk is only ever touched at paths whose parents are known to be real folders. The target must be private to us.
 */
export class LayerApplier {
  readonly #target: TreeTarget
  readonly #root: Folder = folder(0, IMPLICIT)
  #layer = 0
  #stackable = true
  #contentBytes = 0
  #dropped: string[] = []

  constructor(target: TreeTarget) {
    this.#target = target
    target.makeFolder('')
  }

  /** `alone` = this layer is unpacked without the ones below: links into them make it not stackable instead of being errors. */
  async apply(tar: TarReader, { alone }: { readonly alone: boolean }): Promise<AppliedFacts> {
    this.#layer += 1
    this.#stackable = true
    this.#contentBytes = 0
    this.#dropped = []
    const breather = new Breather()
    for (let entry = await tar.next(); entry !== null; entry = await tar.next()) {
      if (breather.isDue) await breather.breathe()
      await this.#applyEntry(entry, tar, alone)
    }
    return {
      stackable: this.#stackable,
      implied: this.#shallow((node) => node.kind === 'folder' && node.attributes === IMPLICIT),
      symlinks: this.#shallow((node) => node.kind === 'symlink'),
      contentBytes: this.#contentBytes,
      dropped: this.#dropped,
    }
  }

  /** Owners, modes and times of folders, after all layers. */
  async end(): Promise<void> {
    await this.#dress(this.#root, '', new Breather())
  }

  // Private

  async #applyEntry(entry: TarEntry, tar: TarReader, alone: boolean): Promise<void> {
    const parts = partsOf(entry.path)
    for (const name of entry.xattrs) this.#drop(entry.path, `extended attribute ${name}`)
    checkOwner(entry)
    const name = parts.at(-1)
    if (name === undefined) {
      if (entry.type !== 'directory') throw invalid(entry.path, 'replaces the root folder')
      this.#root.attributes = entry
      return
    }
    const parents = parts.slice(0, -1)
    if (name.startsWith(WHITEOUT)) this.#whiteout(parents, name, entry)
    else if (entry.type === 'special') this.#drop(entry.path, 'special file')
    else await this.#place(this.#enter(parents), { name, entry, tar, alone })
  }

  async #place(
    at: Place,
    what: { name: string; entry: TarEntry; tar: TarReader; alone: boolean },
  ): Promise<void> {
    const { name, entry } = what
    const path = childPath(at.path, name)
    const there = at.folder.children.get(name)
    if (entry.type === 'directory') {
      if (there?.kind === 'folder') {
        there.attributes = entry
        there.layer = this.#layer
        there.newest = this.#layer
        return
      }
      this.#clear(at, name)
      this.#target.makeFolder(path)
      at.folder.children.set(name, folder(this.#layer, entry))
    } else if (entry.type === 'hardlink') {
      this.#hardlink(at, what)
    } else if (entry.type === 'symlink') {
      if (entry.linkpath === '') throw invalid(entry.path, 'is a symlink to nothing')
      this.#clear(at, name)
      this.#target.symlink(path, entry.linkpath, entry)
      const target = entry.linkpath
      at.folder.children.set(name, { kind: 'symlink', target, layer: this.#layer })
    } else {
      this.#clear(at, name)
      await this.#writeFile(path, what)
      at.folder.children.set(name, { kind: 'file', layer: this.#layer })
    }
  }

  async #writeFile(
    path: string,
    { entry, tar }: { entry: TarEntry; tar: TarReader },
  ): Promise<void> {
    const out = this.#target.file(path, entry)
    try {
      for await (const chunk of tar.content()) out.write(chunk, 0, chunk.length)
    } catch (error) {
      out.abort()
      throw error
    }
    out.close()
    this.#contentBytes += entry.size
  }

  #hardlink(
    at: Place,
    { name, entry, alone }: { name: string; entry: TarEntry; alone: boolean },
  ): void {
    const parts = partsOf(entry.linkpath)
    const source = parts.at(-1)
    const from = source === undefined ? null : this.#find(parts.slice(0, -1))
    const node = source === undefined ? undefined : from?.folder.children.get(source)
    if (from === null || source === undefined || node === undefined) {
      if (!alone)
        throw invalid(entry.path, `is a hard link to ${entry.linkpath}, which is not there`)
      this.#stackable = false
      this.#clear(at, name)
      return
    }
    if (node.kind === 'folder') throw invalid(entry.path, 'is a hard link to a folder')
    if (at.folder.children.get(name) === node) return
    const path = childPath(at.path, name)
    const existing = childPath(from.path, source)
    if (existing.startsWith(`${path}/`)) {
      throw invalid(entry.path, 'is a hard link to a file in the folder that it replaces')
    }
    this.#clear(at, name)
    this.#target.hardlink(path, existing)
    at.folder.children.set(name, { ...node, layer: this.#layer })
  }

  #whiteout(parents: readonly string[], name: string, entry: TarEntry): void {
    const hidden = name.slice(WHITEOUT.length)
    if (entry.type !== 'file' && entry.type !== 'hardlink') {
      throw invalid(entry.path, 'is a whiteout that is no regular file')
    }
    if (hidden === '' || hidden === '.' || hidden === '..') {
      throw invalid(entry.path, 'is a whiteout of nothing')
    }
    // AUFS left other bookkeeping under this prefix; it hides nothing.
    if (name !== OPAQUE && hidden.startsWith(WHITEOUT)) return
    this.#stackable = false
    const at = this.#find(parents)
    if (at === null) return
    const names = name === OPAQUE ? [...at.folder.children.keys()] : [hidden]
    for (const child of names) this.#hideLower(at, child)
  }

  /** Removes what layers below put there, and keeps what this layer did. */
  #hideLower(at: Place, name: string): void {
    const node = at.folder.children.get(name)
    if (node === undefined) return
    if (node.kind === 'folder' && node.newest === this.#layer) {
      const inside = { folder: node, path: childPath(at.path, name) }
      for (const child of [...node.children.keys()]) this.#hideLower(inside, child)
    } else if (node.layer < this.#layer) {
      this.#clear(at, name)
    }
  }

  #clear(at: Place, name: string): void {
    if (!at.folder.children.delete(name)) return
    this.#target.remove(childPath(at.path, name))
  }

  /** The folder at this path, made where it is missing; what is in the way and no folder is replaced. */
  #enter(parts: readonly string[]): Place {
    const at = this.#walk(parts, true)
    if (at === null) throw invalid(parts.join('/'), 'cannot be entered')
    return at
  }

  #find(parts: readonly string[]): Place | null {
    return this.#walk(parts, false)
  }

  #walk(parts: readonly string[], make: boolean): Place | null {
    const left = [...parts].reverse()
    const way = new Way(this.#root)
    let links = 0
    for (let part = left.pop(); part !== undefined; part = left.pop()) {
      const node = way.folder.children.get(part)
      if (part === '' || part === '.') continue
      if (part === '..') {
        way.up()
      } else if (node?.kind === 'symlink') {
        links += 1
        if (links > MAX_LINKS) throw invalid(parts.join('/'), 'runs through too many symlinks')
        if (node.target.startsWith('/')) way.toRoot()
        left.push(...node.target.split('/').reverse())
      } else if (node?.kind === 'folder') {
        way.down(part, node)
      } else if (make) {
        way.down(part, this.#makeParent(way.place, part))
      } else {
        return null
      }
      if (way.depth > MAX_DEPTH)
        throw invalid(parts.join('/'), `is deeper than ${MAX_DEPTH} folders`)
    }
    if (make) for (const folder of way.folders) folder.newest = this.#layer
    return way.place
  }

  #makeParent(at: Place, name: string): Folder {
    this.#clear(at, name)
    this.#target.makeFolder(childPath(at.path, name))
    const made = folder(this.#layer, IMPLICIT)
    at.folder.children.set(name, made)
    return made
  }

  async #dress(at: Folder, path: string, breather: Breather): Promise<void> {
    for (const [name, node] of at.children) {
      if (node.kind === 'folder') await this.#dress(node, childPath(path, name), breather)
    }
    if (breather.isDue) await breather.breathe()
    this.#target.dressFolder(path, at.attributes)
  }

  #drop(path: string, what: string): void {
    if (this.#dropped.length < 1000) this.#dropped.push(`${path}: ${what}`)
  }

  #shallow(matches: (node: Node) => boolean): string[] {
    const found: string[] = []
    for (const [name, node] of this.#root.children) {
      if (matches(node)) found.push(name)
      if (node.kind !== 'folder') continue
      for (const [inner, below] of node.children) {
        if (matches(below)) found.push(`${name}/${inner}`)
      }
    }
    return found.sort()
  }
}

// Private

interface Place {
  readonly folder: Folder
  readonly path: string
}

/** From the root down to a folder. Asked at every part of every path, so each step costs the same however deep it is. */
class Way {
  readonly #root: Folder
  readonly #folders: Folder[] = []
  readonly #names: string[] = []

  constructor(root: Folder) {
    this.#root = root
  }

  get folder(): Folder {
    return this.#folders.at(-1) ?? this.#root
  }

  get folders(): readonly Folder[] {
    return [this.#root, ...this.#folders]
  }

  get depth(): number {
    return this.#folders.length
  }

  get place(): Place {
    return { folder: this.folder, path: this.#names.join('/') }
  }

  down(name: string, into: Folder): void {
    this.#names.push(name)
    this.#folders.push(into)
  }

  /** At the root this stays at the root, as in a chroot. */
  up(): void {
    this.#names.pop()
    this.#folders.pop()
  }

  toRoot(): void {
    this.#names.length = 0
    this.#folders.length = 0
  }
}

function folder(layer: number, attributes: Attributes): Folder {
  return { kind: 'folder', children: new Map(), attributes, layer, newest: layer }
}

function childPath(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`
}

/** A leading '/' or './' means nothing; '..' and names that look like whiteouts in the middle have no honest use. */
function partsOf(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw invalid(path, "contains '..'")
  if (parts.slice(0, -1).some((part) => part.startsWith(WHITEOUT))) {
    throw invalid(path, 'lies below a whiteout')
  }
  if (parts.some((part) => Buffer.byteLength(part) > MAX_NAME_BYTES)) {
    throw invalid(path, `has a name of more than ${MAX_NAME_BYTES} bytes`)
  }
  return parts
}

/** Containers have these ids and no others; said here, the deploy ends before anything is started. */
function checkOwner({ path, uid, gid }: TarEntry): void {
  const id = [uid, gid].find((one) => one >= MAPPED_IDS)
  if (id === undefined) return
  throw invalid(path, `belongs to id ${id}, which is not between 0 and ${MAPPED_IDS - 1}`)
}

function invalid(path: string, why: string): OciError {
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path
  return new OciError('INVALID_IMAGE', `layer entry ${JSON.stringify(shown)} ${why}`)
}
