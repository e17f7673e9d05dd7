import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { KeyedMutex } from '../lib/mutex.ts'
import { isMissing } from '../lib/atomic-file.ts'
import { run } from '../lib/process.ts'
import type { Digest, ImageFacts } from '../model/release.ts'
import type { ImageStore } from '../oci/image-store.ts'

const COPY_MS = 600_000

/**
 * For runner `process`: the layers of an image of flavour `host` (dependencies, app) as one folder, made once per image. Without root there
 * is no overlayfs, so the layers are copied over each other, lowest first.
 */
export function hostRootfs(
  images: ImageStore,
  root: string,
): (image: ImageFacts) => Promise<string> {
  const mutex = new KeyedMutex()
  return (image) =>
    mutex.run(image.digest, async () => {
      const folder = join(root, 'trees', image.digest.slice('sha256:'.length))
      if (await exists(folder)) return folder
      const temporary = `${folder}.${randomBytes(6).toString('hex')}.tmp`
      await mkdir(temporary, { recursive: true, mode: 0o755 })
      try {
        for (const layer of [...(await images.lowerDirs(image.digest))].reverse()) {
          // The program (POSIX) takes about a quarter of the time that Node's own copy takes for many small files.
          await run('cp', ['-RPp', `${layer}/.`, temporary], { timeoutMs: COPY_MS })
        }
        await rename(temporary, folder)
      } finally {
        await rm(temporary, { recursive: true, force: true })
      }
      return folder
    })
}

/** Removes the folders of images that are not kept and were made before `before` (ms since 1970). */
export async function collectHostTrees(
  root: string,
  keep: ReadonlySet<Digest>,
  before: number,
): Promise<void> {
  const trees = join(root, 'trees')
  if (!(await exists(trees))) return
  for (const name of await readdir(trees)) {
    const { ctimeMs } = await stat(join(trees, name))
    if (ctimeMs > before || keep.has(`sha256:${name}`)) continue
    await rm(join(trees, name), { recursive: true, force: true })
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}
