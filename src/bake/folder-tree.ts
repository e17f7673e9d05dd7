import { lstat, readdir, readlink, realpath } from 'node:fs/promises'
import { dirname, join, posix, relative } from 'node:path'
import { isMissing } from '../lib/atomic-file.ts'
import { FairwayError } from '../model/errors.ts'
import type { LayerEntry } from '../oci/layer-entry.ts'

export interface FolderTreeOptions {
  /** Where the folder is in the image, without leading '/': 'app/node_modules'. */
  readonly root: string
  /** The folder that links may not leave, as a part of `root`: 'app'. Default: `root`. */
  readonly boundary?: string
  /** A folder above that nobody could replace; default: the folder's own parent. */
  readonly trusted?: string
  /** Path relative to the folder; a folder that is refused is not entered. */
  readonly choose?: (path: string, isFolder: boolean) => boolean
  /** The folder is deleted after the layer was made, so its files may become the layer's own. Default false. */
  readonly handOver?: boolean
}

/**
 * Layer entries for everything below a folder of this host, in byte order. Only files, folders and links; sockets, pipes and
 * devices are refused.
 * @throws FairwayError INVALID_SOURCE for a link that leaves the boundary or a special file
 */
export async function folderTree(
  folder: string,
  options: FolderTreeOptions,
): Promise<LayerEntry[]> {
  await checkFolder(folder, options)
  const { root, boundary = root, choose = () => true, handOver = false } = options
  const entries: LayerEntry[] = []
  const visit = async (path: string): Promise<void> => {
    const children = await readdir(join(folder, path), { withFileTypes: true })
    const files: string[] = []
    for (const child of children) {
      const inner = path === '' ? child.name : `${path}/${child.name}`
      if (!choose(inner, child.isDirectory())) continue
      if (child.isDirectory()) {
        entries.push({ type: 'directory', path: `${root}/${inner}` })
        await visit(inner)
      } else if (child.isFile()) files.push(inner)
      else if (child.isSymbolicLink()) entries.push(await link(folder, inner, root, boundary))
      else
        throw new FairwayError(
          'INVALID_SOURCE',
          `${root}/${inner} is neither a file, a folder nor a link`,
        )
    }
    const found = await Promise.all(
      files.map((file) => regularFile(folder, file, { root, handOver })),
    )
    entries.push(...found)
  }
  await visit('')
  return entries
}

/** What foreign code made may be a link to a folder of this host: neither the folder nor its part below `trusted` may be one. */
async function checkFolder(folder: string, options: FolderTreeOptions): Promise<void> {
  const { trusted = dirname(folder), root } = options
  const inner = relative(trusted, folder)
  const real = await realpath(folder).catch((error: unknown) => {
    if (isMissing(error)) return null
    throw error
  })
  const above = inner === '..' || inner.startsWith('../')
  if (
    !above &&
    real === join(await realpath(trusted), inner) &&
    (await lstat(folder)).isDirectory()
  )
    return
  throw new FairwayError(
    'INVALID_SOURCE',
    `${inner === '' ? root : inner} is ${real === null ? 'not there' : 'not a folder of its own'} after the build`,
  )
}

async function regularFile(
  folder: string,
  path: string,
  { root, handOver }: { readonly root: string; readonly handOver: boolean },
): Promise<LayerEntry> {
  const file = join(folder, path)
  const { size, mode } = await lstat(file)
  return {
    type: 'file',
    path: `${root}/${path}`,
    mode: (mode & 0o111) === 0 ? 0o644 : 0o755,
    content: { file, size, ...(handOver ? ({ link: 'private' } as const) : {}) },
  }
}

async function link(
  folder: string,
  path: string,
  root: string,
  boundary: string,
): Promise<LayerEntry> {
  const target = await readlink(join(folder, path))
  const place = `${root}/${path}`
  const resolved = posix.join('/', posix.dirname(place), target)
  const reached = target.startsWith('/') ? posix.normalize(target) : resolved
  const inside = reached === `/${boundary}` || reached.startsWith(`/${boundary}/`)
  // posix.join swallows '..' above '/': count that as leaving, too.
  const above = !target.startsWith('/') && posix.join(posix.dirname(place), target).startsWith('..')
  if (inside && !above) return { type: 'symlink', path: place, target }
  throw new FairwayError(
    'INVALID_SOURCE',
    `symbolic link /${place} points to ${JSON.stringify(target)}, outside of /${boundary}`,
  )
}
