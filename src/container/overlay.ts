import { chown, lstat, mkdir, readFile, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from '../lib/atomic-file.ts'
import { runToEnd } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'

/** mount(2) takes one page of options; past this, layers are named by short links. */
const LONG_OPTIONS = 3000

/**
 * Mounts a root filesystem at `<folder>/root`: the image's layers, topmost first, below a small writable layer that only the
 * runtime uses, to make mount points. @param owner host uid and gid of the container's root
 */
export async function mountOverlay(
  folder: string,
  lowerDirs: readonly string[],
  owner: number,
): Promise<void> {
  await refuseUnsafe(lowerDirs)
  const [root, upper, work] = ['root', 'upper', 'work'].map((name) => join(folder, name))
  if (root === undefined || upper === undefined || work === undefined) return
  await Promise.all(
    [root, upper, work].map((path) => mkdir(path, { mode: 0o755, recursive: true })),
  )
  await chown(upper, owner, owner)
  const lower = await lowerOption(folder, lowerDirs)
  // nosuid: also for people with an account on the host who can look into it.
  const options = `nosuid,nodev,lowerdir=${lower},upperdir=${upper},workdir=${work}`
  const args = ['-t', 'overlay', 'fairway', root, '-o', options]
  const result = await runToEnd('mount', args, { cwd: folder })
  if (result.code !== 0) {
    throw new FairwayError('RUNNER_UNAVAILABLE', `cannot mount an image: ${result.stderr.trim()}`)
  }
}

/** Nothing mounted there: nothing to do. */
export async function unmount(path: string): Promise<void> {
  while (await isMounted(path)) {
    const result = await runToEnd('umount', [path])
    if (result.code === 0 || !(await isMounted(path))) continue
    // Busy: something outside the container looks into it. Detaching ends it for everybody else.
    const lazy = await runToEnd('umount', ['--lazy', path])
    if (lazy.code !== 0) throw new Error(`cannot unmount ${path}: ${lazy.stderr.trim()}`)
  }
}

async function isMounted(path: string): Promise<boolean> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8')
  return mounts.includes(` ${path} `)
}

async function lowerOption(folder: string, lowerDirs: readonly string[]): Promise<string> {
  if (lowerDirs.length === 0) throw new FairwayError('INVALID_IMAGE', 'the image has no layers')
  const plain = lowerDirs.map((path) => path.replaceAll(/[\\:]/g, '\\$&')).join(':')
  if (plain.length < LONG_OPTIONS && !plain.includes(',')) return plain
  const links = join(folder, 'l')
  await rm(links, { recursive: true, force: true })
  await mkdir(links)
  await Promise.all(lowerDirs.map((path, index) => symlink(path, join(links, String(index)))))
  return lowerDirs.map((_, index) => `l/${String(index)}`).join(':')
}

/** A runtime that follows one of these as a link creates or changes files of the host (CVE-2026-88264, CVE-2025-31133). */
const MUST_BE_FOLDERS = ['dev', 'proc', 'sys', 'tmp', 'run', 'etc']

async function refuseUnsafe(lowerDirs: readonly string[]): Promise<void> {
  for (const layer of lowerDirs) {
    for (const name of MUST_BE_FOLDERS) {
      try {
        const found = await lstat(join(layer, name))
        if (found.isDirectory()) continue
        throw new FairwayError('INVALID_IMAGE', `/${name} of the image is not a folder`)
      } catch (error) {
        if (!isMissing(error)) throw error
      }
    }
  }
}
