import { mkdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { silentLog, type Log } from '../lib/log.ts'
import { BlobStore } from './blob-store.ts'
import { Collector, type Collected } from './collector.ts'
import { isDigest, sha256, type Digest } from './digest.ts'
import { importDockerArchive, isDockerArchive, unpackArchive } from './docker-archive.ts'
import { choosePlatform, hostPlatform, type WantedPlatform } from './image-choice.ts'
import { copyImage, type BlobSource, type ImportProgress } from './image-importer.ts'
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
import { readLayerRecord, readRecord, writeRecord, type StoredLayer } from './layer-record.ts'
import { LayerStore, type AddLayerOptions } from './layer-store.ts'
import { LayerUnpacker } from './layer-unpacker.ts'
import { chooseEntry, LayoutSource } from './layout-source.ts'
import {
  MAX_LAYERS,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Descriptor,
  type ImageManifest,
} from './manifest.ts'
import { CONFIG_TYPES, layerCodec, MEDIA_TYPES } from './media-type.ts'
import { OciError, translateDiskError } from './oci-error.ts'
import { isRepositoryName, parseReference, type DefaultRegistry } from './reference.ts'
import { RegistryClient, type RegistryClientOptions } from './registry-client.ts'
import { RepositoryStore } from './repository-store.ts'
import { SharedLock } from './shared-lock.ts'
import { StoreFolder } from './store-folder.ts'
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

export interface PushOptions extends RegistryClientOptions {
  readonly progress?: ImportProgress
  /** Where references without a host go; default: they are refused. */
  readonly defaultRegistry?: DefaultRegistry
}

export interface PullOptions extends PushOptions {
  /** Default: linux on this host's architecture. */
  readonly platform?: WantedPlatform
}

/** Layers, images and what the registry serves, in one folder. Safe for concurrent use; a crash leaves nothing half-done visible. */
export class ImageStore {
  /** The registry's storage. */
  readonly blobs: BlobStore
  readonly repositories: RepositoryStore
  readonly #unpacker: LayerUnpacker
  readonly #collector: Collector
  readonly #folder: StoreFolder
  readonly #layers: LayerStore
  readonly #lock: SharedLock
  readonly #now: () => number

  private constructor(folder: StoreFolder, options: ImageStoreOptions) {
    const { ownerOffset = 0, now = Date.now, log = silentLog } = options
    const ids: IdMap = { offset: ownerOffset, change: process.getuid?.() === 0 }
    this.#folder = folder
    this.#now = now
    this.#lock = new SharedLock()
    this.blobs = new BlobStore(folder.blobs, () => folder.newTemporary())
    this.repositories = new RepositoryStore(folder.repositories)
    const shared = { folder, blobs: this.blobs, lock: this.#lock }
    this.#layers = new LayerStore({ ...shared, ids, now })
    this.#unpacker = new LayerUnpacker({ ...shared, ids, now, log })
    this.#collector = new Collector({ ...shared, repositories: this.repositories })
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
      // Each waits for the disk; only the record, which makes it an image, must come last.
      const [digest] = await Promise.all([this.#writeBlob(manifest), this.#writeBlob(config)])
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

  /**
   * Folders for overlayfs' `lowerdir`, topmost first; layers that were not made here are checked and unpacked first.
   * @throws OciError NOT_FOUND, INVALID_IMAGE, DIGEST_MISMATCH, TOO_LARGE, DISK_FULL
   */
  async lowerDirs(digest: Digest): Promise<readonly string[]> {
    const image = await this.image(digest)
    if (image === null) throw new OciError('NOT_FOUND', `there is no image ${digest} in the store`)
    return await this.#unpacker.lowerDirs(image.layers)
  }

  /** The layer whose unpacked tree a folder is, as `lowerDirs` names it; null for any other folder. */
  async layerAt(folder: string): Promise<StoredLayer | null> {
    if (dirname(folder) !== this.#folder.layers) return null
    return await readLayerRecord(join(this.#folder.layerRecords, `${basename(folder)}.json`))
  }

  /**
   * Imports from an OCI layout folder, checking every digest, size and diffID. `ref` is a tag in the layout; without it there must be one image,
   * in one or several platforms. @throws OciError NOT_FOUND, INVALID_IMAGE, DIGEST_MISMATCH, TOO_LARGE, DISK_FULL
   */
  async importLayout(dir: string, ref?: string): Promise<Digest> {
    const source = new LayoutSource(dir)
    const entries = chooseEntry(await source.index(), ref ?? null)
    const start = entries.length === 1 ? entries[0] : undefined
    return await this.#import(start ?? choosePlatform(entries, hostPlatform()), source, {})
  }

  /** Imports a `docker save` or OCI archive (tar or tar.gz) that holds one image. @throws as importLayout */
  async importArchive(tarFile: string): Promise<Digest> {
    const directory = this.#folder.newTemporary()
    await mkdir(directory, { mode: 0o700 })
    try {
      const folder = join(directory, 'archive')
      await unpackArchive(tarFile, folder)
      if (!(await isDockerArchive(folder))) return await this.importLayout(folder)
      const newTemporary = (): string => this.#folder.newTemporary()
      const digest = await importDockerArchive({ folder, blobs: this.blobs, newTemporary })
      return await this.accept(digest)
    } catch (error) {
      throw translateDiskError(error)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }

  /**
   * Fetches an image into the store; a reference by digest that is here already needs no network.
   * @throws OciError INVALID_REQUEST, REGISTRY_FAILED, and as importLayout
   */
  async pull(text: string, options: PullOptions = {}): Promise<Digest> {
    const { platform, progress, defaultRegistry = null, ...client } = options
    const reference = parseReference(text, defaultRegistry)
    if (reference.digest !== null && (await this.#isKnown(reference.digest)))
      return reference.digest
    const source = new RegistryClient(reference, 'pull', client)
    const { descriptor, bytes } = await source.resolve()
    await this.#writeBlob(bytes)
    return await this.#import(descriptor, source, {
      ...(platform === undefined ? {} : { platform }),
      ...(progress === undefined ? {} : { progress }),
    })
  }

  /** Sends an image to a registry, only the blobs that it lacks. @throws OciError NOT_FOUND, REGISTRY_FAILED */
  async push(digest: Digest, text: string, options: PushOptions = {}): Promise<void> {
    const { defaultRegistry = null, progress, ...client } = options
    const image = await this.image(digest)
    const bytes = await this.blobs.readAll(digest, MAX_MANIFEST_BYTES)
    if (image === null || bytes === null) {
      throw new OciError('NOT_FOUND', `there is no image ${digest} in the store`)
    }
    const target = new RegistryClient(parseReference(text, defaultRegistry), 'pull,push', client)
    for (const blob of [...image.layers, image.manifest.config]) {
      if (!isDigest(blob.digest)) continue
      if (!(await target.hasBlob(blob.digest))) {
        await target.pushBlob(blob.digest, this.blobs.path(blob.digest))
      }
      progress?.({ digest: blob.digest, size: blob.size, done: blob.size })
    }
    await target.pushManifest(bytes, image.manifest.mediaType)
  }

  /**
   * The image behind a tag or digest of a repository of our own registry, for this platform; null where there is none.
   * Nothing is copied: what was pushed can be run.
   */
  async resolve(
    repository: string,
    reference: string,
    platform: WantedPlatform = hostPlatform(),
  ): Promise<Digest | null> {
    if (!isRepositoryName(repository)) return null
    let digest = isDigest(reference)
      ? reference
      : await this.repositories.tag(repository, reference)
    if (digest === null || (await this.repositories.manifest(repository, digest)) === null)
      return null
    for (let depth = 0; depth < 4; depth += 1) {
      const bytes = await this.blobs.readAll(digest, MAX_MANIFEST_BYTES)
      if (bytes === null || !isDigest(digest)) return null
      const document = parseManifest(bytes, null)
      if (document.kind === 'manifest') return digest
      digest = choosePlatform(document.manifests, platform).digest
    }
    return null
  }

  /** For an image whose parts are all here, such as a pushed one: reads all of it once, then it counts as ours. @throws as importLayout */
  async accept(digest: Digest): Promise<Digest> {
    const image = await this.image(digest)
    if (image === null) throw new OciError('INVALID_IMAGE', `${digest} is no image`)
    for (const layer of image.layers) await this.#unpacker.verify(layer)
    await this.#lock.shared(async () => {
      await this.#recordImage(digest)
    })
    return digest
  }

  /** Makes an image of this store visible in a repository of our own registry. @throws OciError NOT_FOUND, INVALID_REQUEST */
  async tag(repository: string, tag: string, digest: Digest): Promise<void> {
    await this.#lock.shared(async () => {
      const image = await this.image(digest)
      if (image === null)
        throw new OciError('NOT_FOUND', `there is no image ${digest} in the store`)
      const { mediaType, subject, config } = image.manifest
      await this.repositories.linkMissing(repository, [config, ...image.layers], this.#now())
      const manifest = { digest, mediaType, subject: subject?.digest ?? null }
      await this.repositories.putManifest(repository, manifest)
      await this.repositories.putTag(repository, tag, digest)
    })
  }

  /**
   * Removes images, layers and blobs that neither `keep` nor a tag reaches and that were not used in the last `olderThanMs`. What is being
   * written now stays. Keep what runs: its folders are removed too.
   */
  async collect(
    keep: ReadonlySet<Digest>,
    olderThanMs: number,
    now: number = this.#now(),
  ): Promise<Collected> {
    return await this.#collector.collect(keep, now - olderThanMs)
  }

  /** Runs a task while no garbage is collected: for writing several things that need each other. Keep it short. */
  async withoutCollection<T>(task: () => Promise<T>): Promise<T> {
    return await this.#lock.shared(task)
  }

  // Private

  async #import(
    start: Descriptor,
    source: BlobSource,
    { platform = hostPlatform(), progress }: Pick<PullOptions, 'platform' | 'progress'>,
  ): Promise<Digest> {
    const { digest } = await copyImage(start, {
      blobs: this.blobs,
      source,
      platform,
      now: this.#now,
      ...(progress === undefined ? {} : { progress }),
    })
    return await this.accept(digest)
  }

  async #isKnown(digest: Digest): Promise<boolean> {
    return (await readRecord(this.#folder.imageRecord(digest))) !== null
  }

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
