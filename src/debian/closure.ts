/** Picks from the files of packages those that given programs need to be loaded: interpreters and shared libraries, found the way ld.so(8) finds them. */
import { basename, dirname, join } from 'node:path/posix'
import type { DebFile, FileContent } from './deb-file.ts'
import { DebianError } from './debian-error.ts'
import { neededLibraries, type ElfFacts } from './elf-facts.ts'
import { FileTree, type Found } from './file-tree.ts'

export interface ElfRoot {
  /** Absolute path in the image. */
  readonly path: string
  /** Where its bytes are on this host. */
  readonly file: string
}

export interface ElfClosureOptions {
  /** The programs and libraries that must load; files which are no ELF objects are passed over. They see one another, but are not part of the result. */
  readonly roots: readonly ElfRoot[]
  /** Files of packages to choose from, as `DebianArchive.files` gives them. */
  readonly provide: readonly DebFile[]
  /** Names of libraries that may stay unresolved, such as those of a graphical part that is never loaded; `*` = all. */
  readonly optional?: readonly string[]
  /** Also /usr/share/doc/<package>/copyright of every package that something was taken of; default true. */
  readonly copyright?: boolean
}

/**
 * The needed files with the links that lead to them and the folders above them, sorted by path; files and links with the package they
 * came from, folders without.
 * @throws DebianError LIBRARY_MISSING naming the library and who needs it, ELF_INVALID
 */
export async function elfClosure(options: ElfClosureOptions): Promise<readonly DebFile[]> {
  const closure = new Closure(options)
  await closure.run()
  return closure.result(options.copyright ?? true)
}

interface Loaded {
  readonly path: string
  readonly facts: ElfFacts
  /** DT_RPATH of those that loaded it, which applies to it too. */
  readonly inherited: readonly string[]
}

class Closure {
  readonly #provide: readonly DebFile[]
  readonly #optional: ReadonlySet<string>
  readonly #roots: readonly ElfRoot[]
  readonly #tree: FileTree
  readonly #chosen = new Map<string, DebFile>()
  readonly #queue: Loaded[] = []
  readonly #seen = new Set<string>()
  /** Names by which a root answers to a DT_NEEDED: what is loaded already is not searched for. */
  readonly #rootNames = new Set<string>()
  readonly #facts = new Map<string, ElfFacts | null>()

  constructor({ roots, provide, optional = [] }: ElfClosureOptions) {
    this.#roots = roots
    this.#provide = provide
    this.#optional = new Set(optional)
    this.#tree = new FileTree([...roots.map(rootFile), ...provide])
  }

  async run(): Promise<void> {
    for (const root of this.#roots) {
      const facts = await this.#read(rootFile(root))
      if (facts === null) continue
      this.#rootNames.add(basename(root.path))
      if (facts.soname !== null) this.#rootNames.add(facts.soname)
      this.#enqueue({ path: root.path, facts, inherited: [] })
    }
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (next.facts.interpreter !== null) await this.#take(next.facts.interpreter, next)
      for (const name of next.facts.needed) await this.#take(name, next)
    }
  }

  result(withCopyright: boolean): readonly DebFile[] {
    const packages = new Set([...this.#chosen.values()].map((file) => file.package))
    if (withCopyright) for (const name of packages) this.#chooseCopyright(name)
    for (const file of [...this.#chosen.values()]) this.#chooseFolders(file.path)
    return [...this.#chosen.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  }

  /** @param name a library's name, or a path where it holds a slash */
  async #take(name: string, by: Loaded): Promise<void> {
    const candidates = name.includes('/')
      ? [expandOrigin(name, by.path)]
      : searchPath(by).map((folder) => join(folder, name))
    for (const path of candidates) {
      const found = this.#tree.find(path)
      const facts = found === null ? null : await this.#read(found.file)
      if (found === null || facts === null || !fits(facts, by.facts)) continue
      this.#choose(found)
      const inherited = by.facts.runpath.length > 0 ? [] : ownRpath(by)
      this.#enqueue({ path: found.file.path, facts, inherited })
      return
    }
    if (this.#rootNames.has(name) || this.#optional.has(name) || this.#optional.has('*')) return
    throw new DebianError(
      'LIBRARY_MISSING',
      `${by.path} needs ${name}, which is in none of the given packages (${this.#packageNames()})`,
    )
  }

  #enqueue(loaded: Loaded): void {
    const key = JSON.stringify([loaded.path, loaded.inherited])
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    this.#queue.push(loaded)
  }

  #choose({ file, links }: Found): void {
    const isRoot = this.#roots.some(({ path }) => path === file.path)
    for (const one of isRoot ? links : [...links, file]) {
      this.#chosen.set(one.path, one)
      if (one.type !== 'hardlink') continue
      const target = this.#provide.find((other) => other.path === one.target)
      if (target !== undefined) this.#chosen.set(target.path, target)
    }
  }

  #chooseCopyright(name: string): void {
    const found = this.#tree.find(`/usr/share/doc/${name}/copyright`)
    if (found?.file.type === 'file') this.#choose(found)
  }

  #chooseFolders(path: string): void {
    for (let parent = dirname(path); parent !== '/'; parent = dirname(parent)) {
      if (this.#chosen.has(parent)) return
      const folder = this.#provide.find((one) => one.path === parent && one.type === 'folder')
      // Many packages share a folder: that it is there says nothing about which of them were used.
      this.#chosen.set(parent, { ...(folder ?? plainFolder(parent)), package: '' })
    }
  }

  async #read(file: DebFile): Promise<ElfFacts | null> {
    const known = this.#facts.get(file.path)
    if (known !== undefined) return known
    const facts = await this.#readContent(file)
    this.#facts.set(file.path, facts)
    return facts
  }

  async #readContent(file: DebFile): Promise<ElfFacts | null> {
    if (file.type === 'hardlink') {
      const target = this.#provide.find((other) => other.path === file.target)
      return target?.type === 'file' ? readFacts(target.path, target.content) : null
    }
    return file.type === 'file' ? readFacts(file.path, file.content) : null
  }

  #packageNames(): string {
    const names = new Set(this.#provide.map((file) => file.package).filter((name) => name !== ''))
    return names.size === 0 ? 'none' : [...names].sort().join(', ')
  }
}

async function readFacts(path: string, content: FileContent): Promise<ElfFacts | null> {
  try {
    return await neededLibraries('bytes' in content ? content.bytes : { file: content.file })
  } catch (cause) {
    if (!(cause instanceof DebianError)) throw cause
    throw new DebianError(cause.code, `${path}: ${cause.message}`, cause)
  }
}

function fits(facts: ElfFacts, by: ElfFacts): boolean {
  return facts.class === by.class && facts.machine === by.machine && facts.endian === by.endian
}

/** ld.so(8): DT_RPATH of the object and its loaders where there is no DT_RUNPATH, DT_RUNPATH, then the folders Debian builds into the loader. */
function searchPath(by: Loaded): string[] {
  const own = by.facts.runpath.map((folder) => expandOrigin(folder, by.path))
  return [...(own.length > 0 ? own : ownRpath(by)), ...systemFolders(by.facts)]
}

function ownRpath(by: Loaded): string[] {
  return [...by.facts.rpath.map((folder) => expandOrigin(folder, by.path)), ...by.inherited]
}

function expandOrigin(text: string, path: string): string {
  return text.replace(/\$(ORIGIN|\{ORIGIN\})/g, dirname(path))
}

const triplets: ReadonlyMap<number, string> = new Map([
  [62, 'x86_64-linux-gnu'],
  [183, 'aarch64-linux-gnu'],
])

function systemFolders({ machine, class: bits }: ElfFacts): string[] {
  const triplet = bits === 64 ? triplets.get(machine) : undefined
  const own = triplet === undefined ? [] : [`/lib/${triplet}`, `/usr/lib/${triplet}`]
  return [...own, '/lib', '/usr/lib', '/lib64', '/usr/lib64']
}

function rootFile({ path, file }: ElfRoot): DebFile {
  // Only the place of the bytes is needed of a root: it is read, not handed out.
  const content = { file, size: 0, sha256: '' }
  return { path, mode: 0o755, uid: 0, gid: 0, package: '', type: 'file', content }
}

function plainFolder(path: string): DebFile {
  return { path, mode: 0o755, uid: 0, gid: 0, package: '', type: 'folder' }
}
