import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { KeyedMutex } from '../lib/mutex.ts'
import type { BlobStore } from './blob-store.ts'
import { parseDigest, type Digest } from './digest.ts'
import { sortedEntries, type LayerEntry } from './layer-entry.ts'
import { makeLayer, totalContent, type MadeLayer } from './layer-maker.ts'
import {
  readLayerRecord,
  readRecord,
  shallow,
  touchRecord,
  writeRecord,
  type LayerRecord,
  type StoredLayer,
} from './layer-record.ts'
import { MEDIA_TYPES } from './media-type.ts'
import { errno } from './oci-error.ts'
import type { SharedLock } from './shared-lock.ts'
import type { StoreFolder } from './store-folder.ts'
import { Fields, parseStrictJson } from './strict-json.ts'
import type { IdMap } from './tree-writer.ts'

export interface AddLayerOptions {
  /** The caller's own name for this content, such as a hash of lockfile and versions, for `findLayer`. */
  readonly key?: string
  /** gzip level, 1 to 9. Default: 1 above 4 MiB of content, else 6. */
  readonly level?: number
}

export interface LayerStoreOptions {
  readonly folder: StoreFolder
  readonly blobs: BlobStore
  readonly ids: IdMap
  readonly lock: SharedLock
  readonly now: () => number
}

const BIG_LAYER = 4 << 20

/** Layers of our own making: blob, unpacked tree and record. */
export class LayerStore {
  readonly #options: LayerStoreOptions
  readonly #mutex = new KeyedMutex()

  constructor(options: LayerStoreOptions) {
    this.#options = options
  }

  async add(
    entries: Iterable<LayerEntry> | AsyncIterable<LayerEntry>,
    { key, level }: AddLayerOptions = {},
  ): Promise<StoredLayer & { readonly created: boolean }> {
    const { folder, ids } = this.#options
    const sorted = await sortedEntries(entries)
    const directory = folder.newTemporary()
    await mkdir(directory, { mode: 0o700 })
    try {
      const chosen = level ?? (totalContent(sorted) > BIG_LAYER ? 1 : 6)
      const made = await makeLayer(sorted, { directory, ids, level: chosen })
      const layer = await this.#keep(made, sorted)
      if (key !== undefined) await writeRecord(folder.keyRecord(key), { diffId: layer.diffId })
      return layer
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }

  /** Null where the key is unknown or the layer is not complete any more. */
  async find(key: string): Promise<StoredLayer | null> {
    const { folder, now } = this.#options
    const bytes = await readRecord(folder.keyRecord(key))
    if (bytes === null) return null
    const fields = new Fields(parseStrictJson(bytes, 'key record'), 'key record')
    const record = await this.#complete(parseDigest(fields.string('diffId') ?? ''))
    if (record === null) return null
    await touchRecord(folder.keyRecord(key), now())
    return stored(record)
  }

  // Private

  async #keep(
    made: MadeLayer,
    entries: readonly LayerEntry[],
  ): Promise<StoredLayer & { readonly created: boolean }> {
    const { lock } = this.#options
    return await lock.shared(
      async () =>
        await this.#mutex.run(made.diffId, async () => {
          // What was compressed first stays: another zlib may have made other bytes of the same content.
          const known = await this.#complete(made.diffId)
          if (known !== null) return { ...stored(known), created: false }
          return { ...stored(await this.#place(made, entries)), created: true }
        }),
    )
  }

  async #place(made: MadeLayer, entries: readonly LayerEntry[]): Promise<LayerRecord> {
    const { folder, blobs } = this.#options
    const { diffId, digest, size, contentBytes } = made
    await blobs.adopt(made.blob, digest)
    await placeTree(made.tree, folder.layerTree(diffId))
    const record: LayerRecord = {
      diffId,
      digest,
      size,
      mediaType: MEDIA_TYPES.layerGzip,
      contentBytes,
      stackable: true,
      // Every folder of ours has an entry.
      implied: [],
      symlinks: shallow(pathsOf(entries, 'symlink')),
    }
    await writeRecord(folder.layerRecord(diffId), record)
    return record
  }

  /** The record of a layer whose blob and tree are both there; marked as used now. */
  async #complete(diffId: Digest): Promise<LayerRecord | null> {
    const { folder, blobs, now } = this.#options
    const record = await readLayerRecord(folder.layerRecord(diffId))
    if (record === null || !(await exists(folder.layerTree(diffId)))) return null
    if (!(await blobs.touch(record.digest, now()))) return null
    await touchRecord(folder.layerRecord(diffId), now())
    return record
  }
}

export function stored({ diffId, digest, size, mediaType }: StoredLayer): StoredLayer {
  return { diffId, digest, size, mediaType }
}

/** Renames a finished tree into place; where one exists already, that one is complete too and stays. */
export async function placeTree(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if (errno(error) !== 'ENOTEMPTY' && errno(error) !== 'EEXIST') throw error
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (errno(error) === 'ENOENT') return false
    throw error
  }
}

// Private

function* pathsOf(entries: readonly LayerEntry[], type: LayerEntry['type']): Generator<string> {
  for (const entry of entries) if (entry.type === type) yield entry.path
}
