import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { KeyedMutex } from '../lib/mutex.ts'
import type { Log } from '../lib/log.ts'
import { chainIds } from './digest.ts'
import { LayerApplier, type AppliedFacts, type TreeTarget } from './layer-applier.ts'
import {
  readLayerRecord,
  touchRecord,
  writeRecord,
  type LayerRecord,
  type StoredLayer,
} from './layer-record.ts'
import { layerStream } from './layer-stream.ts'
import { exists, placeTree, stored, type LayerStoreOptions } from './layer-store.ts'
import { layerCodec } from './media-type.ts'
import { OciError } from './oci-error.ts'
import { TarReader } from './tar-reader.ts'
import { TreeWriter } from './tree-writer.ts'

/** More would not fit into the one page of options that mount(2) takes. */
const MAX_STACK = 30

/** Layers that others made: verified when first looked at, unpacked when first needed. */
export class LayerUnpacker {
  readonly #options: LayerStoreOptions & { readonly log: Log }
  readonly #mutex = new KeyedMutex()

  constructor(options: LayerStoreOptions & { readonly log: Log }) {
    this.#options = options
  }

  /** Reads the whole layer once (diffID, tar, limits) and remembers what was learned. @throws OciError INVALID_IMAGE, DIGEST_MISMATCH, TOO_LARGE, NOT_FOUND */
  async verify(layer: StoredLayer): Promise<LayerRecord> {
    const { folder, now } = this.#options
    const path = folder.layerRecord(layer.diffId)
    return await this.#mutex.run(layer.diffId, async () => {
      const known = await readLayerRecord(path)
      // The same content in other compression is another blob: it must be read before it is believed.
      if (known?.digest === layer.digest) {
        await touchRecord(path, now())
        return known
      }
      const applier = new LayerApplier(new NoTree())
      const facts = await this.#apply(applier, layer, true)
      for (const dropped of facts.dropped) {
        this.#options.log.warn({ layer: layer.diffId, dropped }, 'layer entry left out')
      }
      const record: LayerRecord = { ...stored(layer), ...recordFacts(facts) }
      if (known === null) await writeRecord(path, record)
      return known ?? record
    })
  }

  /**
   * Folders that overlayfs can stack as they are, topmost first. Where the layers alone would not mean what the tar files mean (whiteouts,
   * links and symlinks across layers, too many layers), everything below is flattened into one folder.
   */
  async lowerDirs(layers: readonly StoredLayer[]): Promise<readonly string[]> {
    const records: LayerRecord[] = []
    for (const layer of layers) records.push(await this.verify(layer))
    const flat = flattenedCount(records)
    const dirs: string[] = []
    if (flat > 0) dirs.push(await this.#chain(layers.slice(0, flat)))
    for (const layer of layers.slice(flat)) dirs.push(await this.#tree(layer))
    return dirs.reverse()
  }

  // Private

  async #tree(layer: StoredLayer): Promise<string> {
    const { folder } = this.#options
    return await this.#unpacked(folder.layerTree(layer.diffId), [layer])
  }

  async #chain(layers: readonly StoredLayer[]): Promise<string> {
    const { folder } = this.#options
    const chainId = chainIds(layers.map(({ diffId }) => diffId)).at(-1)
    if (chainId === undefined) throw new OciError('INTERNAL', 'a chain of no layers')
    return await this.#unpacked(folder.chainTree(chainId), layers)
  }

  async #unpacked(target: string, layers: readonly StoredLayer[]): Promise<string> {
    const { folder, ids, lock } = this.#options
    return await this.#mutex.run(target, async () => {
      if (await exists(target)) return target
      const directory = folder.newTemporary()
      await mkdir(directory, { mode: 0o700 })
      try {
        const tree = join(directory, 'tree')
        const applier = new LayerApplier(new TreeWriter(tree, ids))
        for (const layer of layers) await this.#apply(applier, layer, layers.length === 1)
        await applier.end()
        await lock.shared(async () => {
          await placeTree(tree, target)
        })
        return target
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
    })
  }

  async #apply(applier: LayerApplier, layer: StoredLayer, alone: boolean): Promise<AppliedFacts> {
    const blob = await this.#options.blobs.read(layer.digest)
    if (blob === null) throw new OciError('NOT_FOUND', `layer ${layer.digest} is not in the store`)
    const codec = layerCodec(layer.mediaType)
    if (codec === null) {
      throw new OciError('INVALID_IMAGE', `${layer.mediaType} is no filesystem layer`)
    }
    const tar = new TarReader(layerStream(blob, { codec, size: layer.size, diffId: layer.diffId }))
    return await applier.apply(tar, { alone })
  }
}

/** How many layers from the bottom must be one folder. */
export function flattenedCount(records: readonly LayerRecord[]): number {
  const symlinks = new Set<string>()
  let count = records.length > MAX_STACK ? records.length - MAX_STACK + 1 : 0
  records.forEach((record, at) => {
    const crosses = record.implied.some((path) => symlinks.has(path))
    if (!record.stackable || crosses) count = Math.max(count, at + 1)
    for (const path of record.symlinks) symlinks.add(path)
  })
  return count
}

// Private

function recordFacts({
  stackable,
  implied,
  symlinks,
  contentBytes,
}: AppliedFacts): Omit<LayerRecord, keyof StoredLayer> {
  return { stackable, implied, symlinks, contentBytes }
}

/** For reading a layer without writing it. */
class NoTree implements TreeTarget {
  makeFolder(): void {
    // Nothing is kept.
  }
  dressFolder(): void {
    // Nothing is kept.
  }
  symlink(): void {
    // Nothing is kept.
  }
  hardlink(): void {
    // Nothing is kept.
  }
  remove(): void {
    // Nothing is kept.
  }
  file(): { write: () => void; close: () => void; abort: () => void } {
    const nothing = (): void => undefined
    return { write: nothing, close: nothing, abort: nothing }
  }
}
