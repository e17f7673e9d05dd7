import { lchown, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Gives a folder and everything in it to this user of the host. Nothing to do for 0, or where we are not root. */
export async function giveTo(folder: string, owner: number): Promise<void> {
  if (owner === 0 || process.getuid?.() !== 0) return
  await lchown(folder, owner, owner)
  for (const child of await readdir(folder, { recursive: true, withFileTypes: true })) {
    await lchown(join(child.parentPath, child.name), owner, owner)
  }
}
