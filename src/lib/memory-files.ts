import { randomBytes } from 'node:crypto'
import {
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  rename,
  rm,
  statfs,
  symlink,
} from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from './missing-file.ts'

/** statfs(2): file systems whose content is never on a disk but by swapping. */
const IN_MEMORY = new Set([0x01021994, 0x858458f6])

/** Whether what is written to this folder stays in memory; false where there is no such folder. Linux only: elsewhere nobody can tell. */
export async function isInMemory(folder: string): Promise<boolean> {
  if (process.platform !== 'linux') return false
  try {
    return IN_MEMORY.has((await statfs(folder)).type)
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** Who may read the files; null = whoever runs this. */
export type FileOwner = { readonly uid: number; readonly gid: number } | null

/**
 * Makes these the files of the folder, all at once, as Kubernetes does it: they lie in a new folder of their own, to which the link `..data` is turned, and `NAME` is a link to
 * `..data/NAME`. Mode 0400. What a swap that was cut off left is removed by the next. Other things in the folder stay. On failure the old files stay.
 * @param folder exists, is nobody else's to write
 */
export async function swapFiles(
  folder: string,
  files: ReadonlyMap<string, Uint8Array>,
  owner: FileOwner,
): Promise<void> {
  const version = `..${randomBytes(8).toString('hex')}`
  try {
    await writeVersion(join(folder, version), files, owner)
    await turnLink(folder, version)
  } catch (error) {
    await rm(join(folder, version), { recursive: true, force: true })
    throw error
  }
  const names = await readdir(folder)
  for (const name of files.keys())
    if (!names.includes(name)) await symlink(`${DATA}/${name}`, join(folder, name))
  for (const name of names) if (!files.has(name)) await removeIfStale(folder, name, version)
}

const DATA = '..data'

async function writeVersion(
  path: string,
  files: ReadonlyMap<string, Uint8Array>,
  owner: FileOwner,
): Promise<void> {
  await mkdir(path, { mode: 0o700 })
  for (const [name, bytes] of files) {
    // `wx`: a link that stands there already is not followed.
    const file = await open(join(path, name), 'wx', 0o400)
    try {
      await file.writeFile(bytes)
      if (owner !== null) await file.chown(owner.uid, owner.gid)
    } finally {
      await file.close()
    }
  }
  if (owner !== null) await chown(path, owner.uid, owner.gid)
}

async function turnLink(folder: string, version: string): Promise<void> {
  const next = join(folder, `${version}.link`)
  try {
    await symlink(version, next)
    await rename(next, join(folder, DATA))
  } catch (error) {
    await rm(next, { force: true })
    throw error
  }
}

async function removeIfStale(folder: string, name: string, version: string): Promise<void> {
  const path = join(folder, name)
  if (name === DATA || name === version) return
  if (name.startsWith('..')) {
    await rm(path, { recursive: true, force: true })
    return
  }
  const found = await lstat(path)
  if (found.isSymbolicLink() && (await readlink(path)).startsWith(`${DATA}/`)) await rm(path)
}
