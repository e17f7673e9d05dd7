import { lstat, readlink } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { isMissing } from '../lib/atomic-file.ts'

/** As many links as Linux follows before it gives up. */
const MAX_LINKS = 40

/**
 * Follows a path as a process whose root is `root` would, absolute links included, so that no link of an image leads into the
 * host. @returns the host's path of the file, or null where there is none
 */
export async function pathInRoot(root: string, path: string): Promise<string | null> {
  let links = 0
  const todo = segments(path)
  let reached: string[] = []
  for (let next = todo.shift(); next !== undefined; next = todo.shift()) {
    if (next === '..') {
      reached = reached.slice(0, -1)
      continue
    }
    const here = join(root, ...reached, next)
    const kind = await kindOf(here)
    if (kind === 'link') {
      if (++links > MAX_LINKS) return null
      const target = await readlink(here)
      if (target.startsWith('/')) reached = []
      todo.unshift(...segments(target))
    } else if (kind === null || (kind === 'other' && todo.length > 0)) {
      return null
    } else {
      reached = [...reached, next]
    }
  }
  return join(root, ...reached)
}

/** The file that a command names, by PATH where it has no slash; null where there is none that may be executed. */
export async function executableInRoot(
  root: string,
  command: string,
  options: { readonly path: string; readonly cwd: string },
): Promise<string | null> {
  const candidates = command.includes('/')
    ? [posix.resolve(options.cwd, command)]
    : options.path.split(':').map((folder) => posix.join(folder === '' ? '/' : folder, command))
  for (const candidate of candidates) {
    const file = await pathInRoot(root, candidate)
    if (file === null) continue
    const found = await lstat(file)
    if (found.isFile() && (found.mode & 0o111) !== 0) return candidate
  }
  return null
}

function segments(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

async function kindOf(path: string): Promise<'folder' | 'link' | 'other' | null> {
  try {
    const found = await lstat(path)
    return found.isSymbolicLink() ? 'link' : found.isDirectory() ? 'folder' : 'other'
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
