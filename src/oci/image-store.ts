import { silentLog, type Log } from '../lib/log.ts'
import { BlobStore } from './blob-store.ts'
import { sha256, type Digest } from './digest.ts'
import {
  composeConfig,
  encodeImageConfig,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  sortedMap,
  type ImageConfig,
  type ImageConfigInput,
} from './image-config.ts'
import type { LayerEntry } from './layer-entry.ts'
import { writeRecord, type StoredLayer } from './layer-record.ts'
import { exists, LayerStore, type AddLayerOptions } from './layer-store.ts'
import {
  MAX_LAYERS,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Descriptor,
  type ImageManifest,
} from './manifest.ts'
import { CONFIG_TYPES, layerCodec, MEDIA_TYPES } from './media-type.ts'
import { OciError } from './oci-error.ts'
import { SharedLock } from './shared-lock.ts'
import { StoreFolder } from './store-folder.ts'
import { isDigest } from './digest.ts'
import type { IdMap } from './tree-writer.ts'

export interface ImageStoreOptions {
  /** A folder that only this store uses. */
  readonly root: string
  /** Host id of container uid and gid 0; unpacked files are given to offset + id when we are root. Default 0: as inside. */
  readonly ownerOffset?: number
  readonly log?: Log
  /** Milliseconds since 1970; default the system's clock. */
  readonly now?: () => number
}

export interface StoredImage {
  readonly digest: Digest
  readonly manifest: ImageManifest
  readonly config: ImageConfig
  /** Bottom first. */
  readonly layers: readonly StoredLayer[]
  /** Compressed: manifest, config and layers. */
  readonly sizeBytes: number
}

export interface AddImageInput {
  /** Image in this store whose layers lie below and whose config is inherited. */
  readonly base?: Digest
  /** Own layers, bottom first. */
  readonly layers: readonly StoredLayer[]
  readonly config: ImageConfigInput
  readonly annotations?: Readonly<Record<string, string>>
}

/** Layers, images and what the registry serves, in one folder. Safe for concurrent use; a crash leaves nothing half-done visible. */
export class ImageStore {
  readonly blobs: BlobStore
  readonly #folder: StoreFolder
  readonly #layers: LayerStore
  readonly #lock: SharedLock
  readonly #now: () => number

  private constructor(folder: StoreFolder, options: ImageStoreOptions) {
    const { ownerOffset = 0, now = Date.now } = options
    const ids: IdMap = { offset: ownerOffset, change: process.getuid?.() === 0 }
    this.#folder = folder
    this.#now = now
    this.#lock = new SharedLock()
    this.blobs = new BlobStore(folder.blobs, () => folder.newTemporary())
    this.#layers = new LayerStore({ folder, blobs: this.blobs, ids, lock: this.#lock, now })
  }

  /** Creates the folders and removes what a crash left behind. */
  static async open(options: ImageStoreOptions): Promise<ImageStore> {
    const { root, log = silentLog } = options
    const folder = new StoreFolder(root)
    await folder.create()
    await folder.sweepTemporary()
    log.debug({ root }, 'image store opened')
    return new ImageStore(folder, options)
  }

  /**
   * Makes a layer in one pass: deterministic tar, gzip, both digests and the unpacked tree. Equal entries make the same diffID;
   * a layer that exists is not stored twice (`created` false).
   * @throws OciError INVALID_REQUEST for bad entries or a source file that changed, DISK_FULL
   */
  async addLayer(
    entries: Iterable<LayerEntry> | AsyncIterable<LayerEntry>,
    options: AddLayerOptions = {},
  ): Promise<StoredLayer & { readonly created: boolean }> {
    return await this.#layers.add(entries, options)
  }

  /** The layer that was added with this key, or null. Counts as a use for garbage collection. */
  async findLayer(key: string): Promise<StoredLayer | null> {
    return await this.#layers.find(key)
  }

  /** Stores config and manifest and returns the manifest's digest; the same input makes the same digest. @throws OciError NOT_FOUND for an unknown base */
  async addImage(input: AddImageInput): Promise<Digest> {
    const base = input.base === undefined ? null : await this.#baseImage(input.base)
    const diffIds = input.layers.map(({ diffId }) => diffId)
    const config = encodeImageConfig(composeConfig(base?.config ?? null, input.config, diffIds))
    const layers = [...(base?.layers ?? []), ...input.layers]
    if (layers.length > MAX_LAYERS) {
      throw new OciError(
        'INVALID_REQUEST',
        `an image has at most ${MAX_LAYERS} layers, not ${layers.length}`,
      )
    }
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.manifest,
        config: { mediaType: MEDIA_TYPES.config, digest: sha256(config), size: config.length },
        layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
        ...(input.annotations === undefined ? {} : { annotations: sortedMap(input.annotations) }),
      }),
    )
    return await this.#lock.shared(async () => {
      await this.#writeBlob(config)
      const digest = await this.#writeBlob(manifest)
      await this.#recordImage(digest)
      return digest
    })
  }

  /** Null where there is no such manifest, or it is an index. @throws OciError INVALID_IMAGE where what is stored is no image we can run */
  async image(digest: Digest): Promise<StoredImage | null> {
    const bytes = await this.blobs.readAll(digest, MAX_MANIFEST_BYTES)
    if (bytes === null) return null
    const manifest = parseManifest(bytes, null)
    if (manifest.kind !== 'manifest') return null
    if (!CONFIG_TYPES.includes(manifest.config.mediaType)) {
      throw new OciError(
        'INVALID_IMAGE',
        `${digest} is an artifact (${manifest.config.mediaType}), not an image`,
      )
    }
    const configBytes = await this.blobs.readAll(manifest.config.digest, MAX_CONFIG_BYTES)
    if (configBytes === null) {
      throw new OciError(
        'INVALID_IMAGE',
        `image ${digest} lacks its config ${manifest.config.digest}`,
      )
    }
    const config = parseImageConfig(configBytes)
    const layers = pairLayers(manifest.layers, config.diffIds)
    const sizeBytes = layers.reduce(
      (sum, { size }) => sum + size,
      bytes.length + configBytes.length,
    )
    return { digest, manifest, config, layers, sizeBytes }
  }

  /** Folders for overlayfs' `lowerdir`, topmost first. @throws OciError NOT_FOUND */
  async lowerDirs(digest: Digest): Promise<readonly string[]> {
    const image = await this.image(digest)
    if (image === null) throw new OciError('NOT_FOUND', `there is no image ${digest} in the store`)
    const trees = image.layers.map(({ diffId }) => this.#folder.layerTree(diffId)).reverse()
    for (const tree of trees) {
      if (!(await exists(tree))) throw new OciError('NOT_FOUND', `layer ${tree} is not unpacked`)
    }
    return trees
  }

  // Private

  async #baseImage(digest: Digest): Promise<StoredImage> {
    const image = await this.image(digest)
    if (image !== null) return image
    throw new OciError('NOT_FOUND', `there is no base image ${digest} in the store`)
  }

  async #writeBlob(bytes: Buffer): Promise<Digest> {
    const digest = sha256(bytes)
    if (await this.blobs.touch(digest, this.#now())) return digest
    await this.blobs.write([bytes], { digest, size: bytes.length })
    return digest
  }

  async #recordImage(digest: Digest): Promise<void> {
    await writeRecord(this.#folder.imageRecord(digest), { digest, createdAt: this.#now() })
  }
}

// Private

function pairLayers(descriptors: readonly Descriptor[], diffIds: readonly Digest[]): StoredLayer[] {
  if (descriptors.length !== diffIds.length || descriptors.length > MAX_LAYERS) {
    throw new OciError(
      'INVALID_IMAGE',
      `manifest lists ${descriptors.length} layers, config ${diffIds.length}; they must be equal and at most ${MAX_LAYERS}`,
    )
  }
  return descriptors.map(({ digest, size, mediaType }, at) => {
    const diffId = diffIds[at]
    if (diffId === undefined || !isDigest(digest) || layerCodec(mediaType) === null) {
      throw new OciError(
        'INVALID_IMAGE',
        `layer ${at} (${mediaType}, ${digest}) is no filesystem layer`,
      )
    }
    return { diffId, digest, size, mediaType }
  })
}
