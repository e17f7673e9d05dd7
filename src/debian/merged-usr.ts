/** The layout of Debian since 12: /bin, /sbin and /lib* are links to the folders of that name below /usr, though packages may name their files by the old paths. */
import { dirname, join } from 'node:path/posix'
import type { DebFile } from './deb-file.ts'

const alias = /^\/(bin|sbin|lib|lib32|lib64|libx32|libo32)(?=\/|$)/

/** The path below /usr that a path means in a merged image. */
export function mergedPath(path: string): string {
  return alias.test(path) ? `/usr${path}` : path
}

/** Whether the path is one of the links themselves. */
export function isAlias(path: string): boolean {
  return alias.exec(path)?.[0] === path
}

/** The path a symbolic link leads to, in a merged image. */
export function mergedTarget(link: { readonly path: string; readonly target: string }): string {
  const target = link.target.startsWith('/')
    ? join('/', link.target)
    : join(dirname(link.path), link.target)
  return mergedPath(target)
}

/**
 * The same files in the merged layout, with the links /bin, /lib... that lead to it. A folder named twice stays once; of other files at one path the first one counts. Sorted by path.
 */
export function mergeUsr(files: readonly DebFile[]): readonly DebFile[] {
  const merged = new Map<string, DebFile>()
  const aliases = new Map<string, DebFile>()
  for (const file of files) {
    const [name] = alias.exec(file.path) ?? []
    if (name !== undefined && !aliases.has(name)) aliases.set(name, aliasLink(name))
    if (isAlias(file.path) && file.type === 'symlink') continue
    const path = mergedPath(file.path)
    if (!merged.has(path)) merged.set(path, moved(file, path))
  }
  // A link is of no use without the folder it leads to.
  for (const name of aliases.keys()) {
    const path = `/usr${name}`
    if (!merged.has(path)) merged.set(path, { ...owner(path), type: 'folder' })
  }
  const all = [...aliases.values(), ...merged.values()]
  return all.sort((a, b) => (a.path < b.path ? -1 : 1))
}

function moved(file: DebFile, path: string): DebFile {
  if (file.type === 'hardlink') return { ...file, path, target: mergedPath(file.target) }
  if (file.type !== 'symlink' || file.target.startsWith('/')) return { ...file, path }
  const target = mergedTarget(file)
  const still = mergedPath(join(dirname(path), file.target))
  return { ...file, path, target: still === target ? file.target : target }
}

function aliasLink(path: string): DebFile {
  return { ...owner(path), type: 'symlink', mode: 0o777, target: `usr${path}` }
}

function owner(path: string): Omit<DebFile, 'type'> & { readonly path: string } {
  return { path, mode: 0o755, uid: 0, gid: 0, package: '' }
}
