import { join } from 'node:path/posix'
import type { DebFile } from './deb-file.ts'
import { isAlias, mergedPath, mergedTarget } from './merged-usr.ts'

export interface Found {
  /** The file or folder at the end of the path; never a symbolic link. */
  readonly file: DebFile
  /** Symbolic links followed on the way, in order. */
  readonly links: readonly DebFile[]
}

const MAX_LINKS = 40

/** Looks paths up in a list of image files as a kernel would: through links, and through the aliases of a merged /usr. */
export class FileTree {
  readonly #files = new Map<string, DebFile>()

  /** Of two files at one path the first one counts. */
  constructor(files: readonly DebFile[]) {
    for (const file of files) {
      const path = mergedPath(file.path)
      const isLinkOfLayout = file.type === 'symlink' && isAlias(file.path)
      if (!isLinkOfLayout && !this.#files.has(path)) this.#files.set(path, file)
    }
  }

  /** Null where nothing is there, or where links lead outside of the list or in a circle. */
  find(path: string): Found | null {
    const links: DebFile[] = []
    let at = '/'
    let rest = split(mergedPath(path))
    for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
      at = mergedPath(join(at, part))
      const link = this.#files.get(at)
      if (link?.type !== 'symlink') continue
      links.push(link)
      if (links.length > MAX_LINKS) return null
      rest = [...split(mergedTarget(link)), ...rest]
      at = '/'
    }
    const file = this.#files.get(at)
    return file === undefined ? null : { file, links }
  }
}

function split(path: string): string[] {
  return path.split('/').filter((part) => part !== '')
}
