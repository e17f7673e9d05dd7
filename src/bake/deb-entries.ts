import type { DebFile } from '../debian/deb-file.ts'
import type { LayerEntry } from '../oci/layer-entry.ts'

/**
 * Files of Debian packages as layer entries in the merged-usr layout (/bin, /lib, /sbin and /lib64 are links into /usr), because a
 * layer that has a real /lib would hide the link of the layer below. Hard links become files of their own; setuid and setgid
 * bits are dropped: nothing in a container gains rights that way.
 */
export function debEntries(files: Iterable<DebFile>): LayerEntry[] {
  const all = [...files]
  const byPath = new Map(all.map((file) => [file.path, file]))
  const entries = new Map<string, LayerEntry>()
  for (const file of all) {
    const path = mergedPath(file.path)
    const entry = convert(file, path, byPath)
    const known = entries.get(path)
    // The same folder comes from many packages, and base-files has /bin -> usr/bin beside others' /bin/sh.
    if (entry !== null && (known === undefined || known.type === 'directory'))
      entries.set(path, entry)
  }
  return [...entries.values()]
}

/** The links that make a root merged-usr. */
export const MERGED_USR_LINKS: readonly LayerEntry[] = ['bin', 'lib', 'lib64', 'sbin'].map(
  (name): LayerEntry => ({ type: 'symlink', path: name, target: `usr/${name}` }),
)

function mergedPath(path: string): string {
  return path.slice(1).replace(/^(?:bin|sbin|lib|lib64)(?=\/)/, 'usr/$&')
}

function convert(
  file: DebFile,
  path: string,
  byPath: ReadonlyMap<string, DebFile>,
): LayerEntry | null {
  if (MERGED_FOLDERS.has(path)) return null
  const owner = { uid: file.uid, gid: file.gid }
  const mode = file.mode & 0o1777
  switch (file.type) {
    case 'folder':
      return { type: 'directory', path, mode, ...owner }
    case 'symlink':
      return { type: 'symlink', path, target: file.target, ...owner }
    case 'file':
      return { type: 'file', path, mode, content: file.content, ...owner }
    case 'hardlink': {
      const target = byPath.get(file.target)
      if (target?.type !== 'file') return null
      return { type: 'file', path, mode, content: target.content, ...owner }
    }
  }
}

const MERGED_FOLDERS: ReadonlySet<string> = new Set(['bin', 'lib', 'lib64', 'sbin'])
