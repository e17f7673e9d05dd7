import { createReadStream } from 'node:fs'
import { chmod, lstat, mkdir, open, readdir, readlink, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BLOCK, encodeHeader, paddingOf } from './tar-header.ts'
import { OciError } from './oci-error.ts'
import { TarReader } from './tar-reader.ts'

/** What an archive may hold at most, in files, folders and links, and in bytes of their contents. */
export interface FolderArchiveLimits {
  readonly maxEntries: number
  readonly maxBytes: number
}

const END = Buffer.alloc(2 * BLOCK)

/**
 * Tar of files and folders, each below the name that it has here: `{ work: '/tmp/x' }` gives `work/…`. What is neither file, folder nor link is left out, and so is
 * what is not there. @throws OciError INVALID_REQUEST for a file that changes meanwhile
 */
export async function* packFolders(
  folders: Readonly<Record<string, string>>,
): AsyncGenerator<Buffer> {
  for (const [name, place] of Object.entries(folders)) yield* packPath(place, name)
  yield END
}

/**
 * Writes such an archive below `root`, a folder that nobody else writes to. What it says is not trusted: every path has to lie below `root`, in a folder that the archive itself made, and
 * nothing is written over or through a link. Owners are ours; of the mode the permission bits count. @throws OciError INVALID_IMAGE, TOO_LARGE
 */
export async function unpackFolders(
  source: AsyncIterable<Uint8Array>,
  root: string,
  limits: FolderArchiveLimits,
): Promise<void> {
  const reader = new TarReader(source, {
    maxEntries: limits.maxEntries,
    maxHeaderBytes: 1 << 16,
    maxPathBytes: 4096,
  })
  const folders = new Set([''])
  let bytes = 0
  for (let entry = await reader.next(); entry !== null; entry = await reader.next()) {
    const path = entry.path.replace(/\/$/, '')
    if (!isClean(path) || !folders.has(parentOf(path)))
      throw new OciError('INVALID_IMAGE', `${JSON.stringify(path)} is no place of this archive`)
    bytes += entry.size
    if (bytes > limits.maxBytes)
      throw new OciError('TOO_LARGE', `the archive holds more than ${limits.maxBytes} bytes`)
    const place = join(root, path)
    if (entry.type === 'directory') {
      await mkdir(place)
      await chmod(place, entry.mode | 0o700)
      folders.add(path)
    } else if (entry.type === 'symlink') await symlink(entry.linkpath, place)
    else if (entry.type === 'file') await writeFileOf(reader, place, entry.mode)
    else throw new OciError('INVALID_IMAGE', `${JSON.stringify(path)} is a ${entry.type}`)
  }
}

// Private

async function* packPath(place: string, name: string): AsyncGenerator<Buffer> {
  const found = await lstat(place).catch(() => null)
  if (found === null) return
  const shared = { path: name, mode: found.mode & 0o777, uid: 0, gid: 0, mtime: 0 }
  if (found.isDirectory()) {
    yield encodeHeader({ ...shared, typeflag: '5', linkpath: '', size: 0 })
    for (const child of (await readdir(place)).sort())
      yield* packPath(join(place, child), `${name}/${child}`)
  } else if (found.isSymbolicLink()) {
    const linkpath = await readlink(place)
    yield encodeHeader({ ...shared, typeflag: '2', linkpath, size: 0 })
  } else if (found.isFile()) {
    yield encodeHeader({ ...shared, typeflag: '0', linkpath: '', size: found.size })
    yield* contentOf(place, found.size)
  }
}

async function* contentOf(file: string, size: number): AsyncGenerator<Buffer> {
  let left = size
  if (size > 0)
    for await (const chunk of createReadStream(file, { end: size - 1 })) {
      if (!Buffer.isBuffer(chunk)) throw new TypeError('a file gives bytes')
      left -= chunk.length
      yield chunk
    }
  if (left !== 0) throw new OciError('INVALID_REQUEST', `${file} changed while it was read`)
  const padding = paddingOf(size)
  if (padding > 0) yield Buffer.alloc(padding)
}

async function writeFileOf(reader: TarReader, place: string, mode: number): Promise<void> {
  // Exclusive: a name that stands twice is an error, and a link is not followed.
  const file = await open(place, 'wx', 0o600)
  try {
    for await (const chunk of reader.content()) await file.write(chunk)
    await file.chmod((mode & 0o777) | 0o400)
  } finally {
    await file.close()
  }
}

function isClean(path: string): boolean {
  return path !== '' && path.split('/').every((part) => !['', '.', '..'].includes(part))
}

function parentOf(path: string): string {
  const parent = dirname(path)
  return parent === '.' ? '' : parent
}
