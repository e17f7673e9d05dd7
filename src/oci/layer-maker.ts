import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { Breather } from '../lib/breather.ts'
import type { Digest } from './digest.ts'
import { GzipWriter } from './gzip-writer.ts'
import { contentSize, type FileSource, type LayerEntry } from './layer-entry.ts'
import { errno, OciError, translateDiskError } from './oci-error.ts'
import { TarWriter } from './tar-writer.ts'
import { TreeWriter, type Attributes, type IdMap } from './tree-writer.ts'

export interface MakeLayerOptions {
  /** An empty folder of our own: gets `blob` and `tree`. */
  readonly directory: string
  readonly ids: IdMap
  /** gzip level 1 to 9. */
  readonly level: number
}

export interface MadeLayer {
  readonly diffId: Digest
  readonly digest: Digest
  readonly size: number
  /** Uncompressed file contents. */
  readonly contentBytes: number
  readonly blob: string
  readonly tree: string
}

/** One pass over sorted entries: tar, both hashes, gzip and the unpacked tree. The blob is on disk (fsync) when this resolves. */
export async function makeLayer(
  entries: readonly LayerEntry[],
  options: MakeLayerOptions,
): Promise<MadeLayer> {
  const blob = join(options.directory, 'blob')
  const tree = join(options.directory, 'tree')
  const file = await open(blob, 'wx', 0o600)
  const gzip = new GzipWriter(file, options.level)
  try {
    const tar = new TarWriter((segment, done) => gzip.write(segment, done))
    const files = new TreeWriter(tree, options.ids)
    files.folder('', { uid: 0, gid: 0, mode: 0o755, mtime: 0 })
    const breather = new Breather()
    for (const entry of entries) {
      if (breather.isDue) await breather.breathe()
      addEntry(entry, { tar, files })
      // A big file needs its segments taken while it is read; a small one at the next entry.
      if (entry.type === 'file') await addContent(entry, { tar, files })
      else if (tar.full) await tar.flushed()
    }
    files.end()
    await tar.end()
    const { contentDigest, digest, size } = await gzip.end()
    await file.sync()
    const contentBytes = totalContent(entries)
    return { diffId: contentDigest, digest, size, contentBytes, blob, tree }
  } catch (error) {
    throw translateDiskError(error)
  } finally {
    await gzip.settled()
    await file.close()
  }
}

export function totalContent(entries: readonly LayerEntry[]): number {
  let total = 0
  for (const entry of entries) if (entry.type === 'file') total += contentSize(entry.content)
  return total
}

// Private

interface Targets {
  readonly tar: TarWriter
  readonly files: TreeWriter
}

type FileEntry = Extract<LayerEntry, { type: 'file' }>

function addEntry(entry: LayerEntry, { tar, files }: Targets): void {
  const attributes = attributesOf(entry)
  const linkpath = entry.type === 'symlink' ? entry.target : ''
  const size = entry.type === 'file' ? contentSize(entry.content) : 0
  const typeflag = ({ file: '0', symlink: '2', directory: '5' } as const)[entry.type]
  tar.header({ ...attributes, typeflag, path: entry.path, linkpath, size })
  if (entry.type === 'directory') files.folder(entry.path, attributes)
  else if (entry.type === 'symlink') files.symlink(entry.path, entry.target, attributes)
}

function attributesOf(entry: LayerEntry): Attributes {
  const { uid = 0, gid = 0, mtime = 0 } = entry
  if (entry.type === 'symlink') return { uid, gid, mtime, mode: 0o777 }
  return { uid, gid, mtime, mode: (entry.mode ?? 0o755) & 0o7777 }
}

async function addContent(entry: FileEntry, targets: Targets): Promise<void> {
  const { content } = entry
  if ('bytes' in content) {
    const out = targets.files.file(entry.path, attributesOf(entry))
    out.write(content.bytes, 0, content.bytes.length)
    out.close()
    targets.tar.bytes(content.bytes)
  } else {
    await copyFile(entry, content, targets)
  }
  targets.tar.padding(contentSize(content))
  if (targets.tar.full) await targets.tar.flushed()
}

async function copyFile(
  entry: FileEntry,
  source: FileSource,
  { tar, files }: Targets,
): Promise<void> {
  const { descriptor, stats } = openSource(source)
  try {
    const attributes = attributesOf(entry)
    const linked = files.link(entry.path, { source, descriptor, stats }, attributes)
    const out = linked ? null : files.file(entry.path, attributes)
    try {
      for (let left = source.size; left > 0;) {
        const count = tar.fill((target, offset, length) => {
          const got = readSync(descriptor, target, offset, length, null)
          out?.write(target, offset, got)
          return got
        }, left)
        if (count === 0) throw changed(source)
        left -= count
        if (tar.full) await tar.flushed()
      }
      out?.close()
    } catch (error) {
      out?.abort()
      throw error
    }
  } finally {
    closeSync(descriptor)
  }
}

function openSource(source: FileSource): { readonly descriptor: number; readonly stats: Stats } {
  let descriptor: number
  try {
    // O_NONBLOCK: a FIFO must not hang us; it is refused below.
    descriptor = openSync(
      source.file,
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    )
  } catch (error) {
    if (errno(error) === 'ELOOP') throw changed(source)
    throw error
  }
  const stats = fstatSync(descriptor)
  if (stats.isFile() && stats.size === source.size) return { descriptor, stats }
  closeSync(descriptor)
  throw changed(source)
}

function changed(source: FileSource): OciError {
  return new OciError(
    'INVALID_REQUEST',
    `${source.file} is not, or no longer, a file of ${source.size} bytes`,
  )
}
