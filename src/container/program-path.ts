import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'

/** Where distributions install system programs; a server's own PATH often lacks the sbin folders. */
export const SYSTEM_FOLDERS: readonly string[] = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
]

/** Distributions differ: Debian, then Fedora and upstream. */
export const CNI_FOLDERS: readonly string[] = ['/usr/lib/cni', '/usr/libexec/cni', '/opt/cni/bin']

/** Absolute path of an executable, or null. */
export async function programPath(
  name: string,
  folders: readonly string[] = SYSTEM_FOLDERS,
): Promise<string | null> {
  for (const folder of folders) {
    const path = join(folder, name)
    try {
      await access(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder: the next one may have it.
    }
  }
  return null
}
