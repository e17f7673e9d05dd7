/** A .deb unpacked once into a folder of the cache: `tree.json` and the contents of its files under numbers, so that no name of the package meets this host's disk. */
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, openSync, statSync, writeSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { readIfExists } from '../lib/atomic-file.ts'
import { debMember } from './deb-members.ts'
import type { DebFile } from './deb-file.ts'
import { DebianError } from './debian-error.ts'
import { readTar, type TarEntry } from './tar-reader.ts'

export interface PackageMetadata {
  /** Control paragraph for /var/lib/dpkg/status.d/<package>, with `Status: install ok installed`; ends with a newline. */
  readonly status: string
  /** Content of /var/lib/dpkg/status.d/<package>.md5sums; '' where the package has none. */
  readonly md5sums: string
}

export interface TreeRequest {
  /** Folder of the unpacked package, made at the first request. */
  readonly tree: string
  readonly packageName: string
  /** Path of the verified .deb; asked only when it has to be unpacked. */
  readonly deb: () => Promise<string>
}

/** @throws DebianError DEB_INVALID */
export async function readTree(request: TreeRequest): Promise<readonly DebFile[]> {
  const { files } = await unpacked(request)
  return files.map((stored) => toDebFile(stored, request))
}

/** @throws DebianError DEB_INVALID */
export async function readMetadata(request: TreeRequest): Promise<PackageMetadata> {
  const { control, md5sums } = await unpacked(request)
  const lines = control.trimEnd().split('\n')
  const at = lines.findIndex((line) => /^package:/i.test(line))
  if (at === -1) {
    throw new DebianError('DEB_INVALID', `${request.packageName}: control file names no package`)
  }
  const status = lines.toSpliced(at + 1, 0, 'Status: install ok installed')
  return { status: `${status.join('\n')}\n`, md5sums }
}

interface StoredFile extends TarEntry {
  /** Of regular files only. */
  readonly sha256?: string
  readonly number?: number
}

interface StoredTree {
  readonly format: number
  readonly files: readonly StoredFile[]
  readonly control: string
  readonly md5sums: string
}

const FORMAT = 1
/** No Debian package comes near; a .deb that unpacks to more is an attack or a mistake. */
const MAX_UNPACKED = 8 * 2 ** 30

async function unpacked(request: TreeRequest): Promise<StoredTree> {
  const known = await readStored(request.tree)
  if (known !== null) return known
  const deb = await request.deb()
  const work = `${request.tree}.${randomBytes(6).toString('hex')}.tmp`
  await mkdir(join(work, 'data'), { recursive: true })
  try {
    const reading = readControl(deb)
    const unpacking = unpackData(deb, join(work, 'data'))
    // Both have to end before the folder may be removed.
    await Promise.allSettled([reading, unpacking])
    const [control, files] = [await reading, await unpacking]
    const tree: StoredTree = { format: FORMAT, files, ...control }
    await writeFile(join(work, 'tree.json'), JSON.stringify(tree))
    await mkdir(dirname(request.tree), { recursive: true })
    await replace(work, request.tree)
    return tree
  } catch (cause) {
    if (!(cause instanceof DebianError)) throw cause
    throw new DebianError(cause.code, `${request.packageName}: ${cause.message}`, cause)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Null where there is no whole tree. Nothing of it is flushed to disk when it is made, so a power cut may leave empty files behind: they are unpacked again. */
async function readStored(tree: string): Promise<StoredTree | null> {
  const text = await readIfExists(join(tree, 'tree.json'))
  if (text === null || !text.endsWith('}')) return null
  const stored = JSON.parse(text) as StoredTree
  if (stored.format !== FORMAT) return null
  const isWhole = stored.files.every(({ number, size }) => {
    if (number === undefined) return true
    const file = join(tree, 'data', String(number))
    return statSync(file, { throwIfNoEntry: false })?.size === size
  })
  return isWhole ? stored : null
}

/** Another process may have been faster: its tree is the same one. */
async function replace(work: string, tree: string): Promise<void> {
  if ((await readStored(tree)) !== null) return
  await rm(tree, { recursive: true, force: true })
  try {
    await rename(work, tree)
  } catch (error) {
    if ((await readStored(tree)) === null) throw error
  }
}

async function unpackData(deb: string, folder: string): Promise<readonly StoredFile[]> {
  const files = new Map<string, StoredFile>()
  let total = 0
  await readTar(debMember(deb, 'data'), async (entry, content) => {
    if (entry.path === '/') return
    requireConsistent(entry, files)
    total += entry.size
    if (total > MAX_UNPACKED) throw new DebianError('DEB_INVALID', 'unpacks to more than 8 GiB')
    if (entry.type !== 'file') {
      files.set(entry.path, entry)
      return
    }
    const number = files.size
    const sha256 = await store(join(folder, String(number)), content)
    files.set(entry.path, { ...entry, number, sha256 })
  })
  for (const { path } of files.values()) requireFolders(path, files)
  return [...files.values()]
}

function requireConsistent(entry: TarEntry, files: ReadonlyMap<string, StoredFile>): void {
  const same = files.get(entry.path)
  if (same !== undefined && (same.type !== 'folder' || entry.type !== 'folder')) {
    throw new DebianError('DEB_INVALID', `${entry.path} occurs twice`)
  }
  if (entry.type === 'hardlink' && files.get(entry.target)?.type !== 'file') {
    throw new DebianError('DEB_INVALID', `${entry.path} is a hard link to no file before it`)
  }
}

function requireFolders(path: string, files: ReadonlyMap<string, StoredFile>): void {
  for (let parent = dirname(path); parent !== '/'; parent = dirname(parent)) {
    const type = files.get(parent)?.type
    if (type === undefined || type === 'folder') continue
    throw new DebianError('DEB_INVALID', `${path} lies below ${parent}, which is a ${type}`)
  }
}

/** Writes synchronously: thousands of small files cost a third of what they do through the thread pool, each for microseconds only. */
async function store(path: string, content: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  const file = openSync(path, 'wx', 0o444)
  try {
    for await (const chunk of content) {
      hash.update(chunk)
      for (let at = 0; at < chunk.length;) at += writeSync(file, chunk, at)
    }
  } finally {
    closeSync(file)
  }
  return hash.digest('hex')
}

const MAX_CONTROL = 16 << 20

async function readControl(deb: string): Promise<{ control: string; md5sums: string }> {
  const texts = new Map<string, string>()
  await readTar(debMember(deb, 'control'), async (entry, content) => {
    if (entry.path !== '/control' && entry.path !== '/md5sums') return
    if (entry.size > MAX_CONTROL) throw new DebianError('DEB_INVALID', `${entry.path} is too long`)
    const chunks: Uint8Array[] = []
    for await (const chunk of content) chunks.push(Uint8Array.from(chunk))
    texts.set(entry.path, Buffer.concat(chunks).toString('utf8'))
  })
  const control = texts.get('/control')
  if (control === undefined) throw new DebianError('DEB_INVALID', 'has no control file')
  return { control, md5sums: texts.get('/md5sums') ?? '' }
}

function toDebFile(stored: StoredFile, { tree, packageName }: TreeRequest): DebFile {
  const { path, mode, uid, gid, type, target } = stored
  const entry = { path, mode, uid, gid, package: packageName }
  if (type === 'folder') return { ...entry, type }
  if (type !== 'file') return { ...entry, type, target }
  const { number, sha256 } = stored
  if (number === undefined || sha256 === undefined) {
    throw new DebianError('DEB_INVALID', `the cache of ${packageName} knows no content of ${path}`)
  }
  const file = join(tree, 'data', String(number))
  return { ...entry, type, content: { file, size: stored.size, sha256 } }
}
