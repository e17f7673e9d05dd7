import { lstat, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { FairwayError } from '../model/errors.ts'
import type { TargetRegistry } from '../model/targets.ts'
import type { ImageStore } from '../oci/image-store.ts'
import type { LayerEntry } from '../oci/layer-entry.ts'
import type { StoredLayer } from '../oci/layer-record.ts'
import { pushImage } from './release-images.ts'

const REPOSITORY = 'fairway-build/step'

/**
 * What a build step sees, as an image in the registry that the cluster's nodes pull from: layers of apps are sent as they are and are there already, trees of build tools become layers of their own.
 * The same folders make the same image; of it only what the registry lacks is sent, which may be all: it forgets what nobody asked for lately. @returns from folders, topmost first, to a reference by digest
 */
export function stepImages(
  images: ImageStore,
  registry: TargetRegistry | null,
): (lowerDirs: readonly string[]) => Promise<string> {
  const sending = new Map<string, Promise<string>>()
  const send = async (lowerDirs: readonly string[]): Promise<string> => {
    if (registry === null)
      throw new FairwayError('REGISTRY_FAILED', 'this cluster has no registry for build steps')
    const layers: StoredLayer[] = []
    for (const folder of [...lowerDirs].reverse()) layers.push(await layerOf(images, folder))
    const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
    const digest = await images.addImage({ layers, config: { architecture } })
    const name = `${registry.name}/${REPOSITORY}`
    await pushImage(images, digest, name, registry)
    return `${name}@${digest}`
  }
  return async (lowerDirs) => {
    const key = lowerDirs.join('\n')
    const under = sending.get(key)
    if (under !== undefined) return await under
    const sent = send(lowerDirs).finally(() => sending.delete(key))
    sending.set(key, sent)
    return await sent
  }
}

// Private

/** A tree of tools never changes under its name, which is made of its content. */
async function layerOf(images: ImageStore, folder: string): Promise<StoredLayer> {
  const known = await images.layerAt(folder)
  if (known !== null) return known
  const key = `step-tree:${folder}`
  return (
    (await images.findLayer(key)) ??
    (await images.addLayer(await treeOf(folder), { key, level: 1 }))
  )
}

async function treeOf(folder: string, below = ''): Promise<readonly LayerEntry[]> {
  const entries: LayerEntry[] = []
  for (const child of await readdir(join(folder, below), { withFileTypes: true })) {
    const path = below === '' ? child.name : `${below}/${child.name}`
    const file = join(folder, path)
    if (child.isDirectory())
      entries.push({ type: 'directory', path }, ...(await treeOf(folder, path)))
    else if (child.isSymbolicLink())
      entries.push({ type: 'symlink', path, target: await readlink(file) })
    else if (child.isFile()) {
      const { size, mode } = await lstat(file)
      entries.push({ type: 'file', path, mode: mode & 0o755, content: { file, size } })
    }
  }
  return entries
}
