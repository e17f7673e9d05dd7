import type { BlobStore } from './blob-store.ts'
import { isDigest, type BlobDigest, type Digest } from './digest.ts'
import { choosePlatform, type WantedPlatform } from './image-choice.ts'
import { MAX_CONFIG_BYTES, parseImageConfig } from './image-config.ts'
import {
  MAX_LAYERS,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Descriptor,
  type ImageManifest,
} from './manifest.ts'
import { CONFIG_TYPES } from './media-type.ts'
import { OciError } from './oci-error.ts'

/** Where blobs of an image come from: a folder, a registry. */
export interface BlobSource {
  /** @throws OciError NOT_FOUND where the source has no such blob */
  blob(descriptor: Descriptor): Promise<AsyncIterable<Uint8Array>>
  /** Manifests live elsewhere than blobs in a registry. */
  manifest(descriptor: Descriptor): Promise<AsyncIterable<Uint8Array>>
}

export type ImportProgress = (event: {
  readonly digest: BlobDigest
  /** Bytes of this blob: all of it, and how much of it is here. */
  readonly size: number
  readonly done: number
}) => void

export interface ImportOptions {
  readonly blobs: BlobStore
  readonly source: BlobSource
  readonly platform: WantedPlatform
  readonly now: () => number
  readonly progress?: ImportProgress
}

const MAX_INDEX_DEPTH = 4
const MAX_LAYER_BYTES = 32 * 2 ** 30

/**
 * Copies an image and everything that it names into the store, checking digest and size of every blob while it is copied. An index is followed
 * to the entry of the platform. Returns the digest of the image manifest. Layers are not unpacked here.
 */
export async function copyImage(
  start: Descriptor,
  options: ImportOptions,
): Promise<{ readonly digest: Digest; readonly manifest: ImageManifest }> {
  let descriptor = start
  for (let depth = 0; depth <= MAX_INDEX_DEPTH; depth += 1) {
    const bytes = await copyManifest(descriptor, options)
    const document = parseManifest(bytes, descriptor.mediaType)
    if (document.kind === 'manifest') {
      if (!isDigest(descriptor.digest)) {
        throw new OciError('INVALID_IMAGE', `image ${descriptor.digest} is not named by sha256`)
      }
      await copyParts(document, options)
      return { digest: descriptor.digest, manifest: document }
    }
    descriptor = choosePlatform(document.manifests, options.platform)
  }
  throw new OciError('INVALID_IMAGE', `indexes are nested deeper than ${MAX_INDEX_DEPTH} levels`)
}

// Private

async function copyManifest(descriptor: Descriptor, options: ImportOptions): Promise<Buffer> {
  const { blobs, source } = options
  if (!(await blobs.touch(descriptor.digest, options.now()))) {
    const { digest, size } = descriptor
    await blobs.write(await source.manifest(descriptor), {
      digest,
      size,
      maxSize: MAX_MANIFEST_BYTES,
    })
  }
  return await readBack(blobs, descriptor.digest, MAX_MANIFEST_BYTES)
}

async function copyParts(manifest: ImageManifest, options: ImportOptions): Promise<void> {
  if (!CONFIG_TYPES.includes(manifest.config.mediaType)) {
    throw new OciError('INVALID_IMAGE', `${manifest.config.mediaType} is an artifact, not an image`)
  }
  const { length } = manifest.layers
  if (length > MAX_LAYERS) {
    throw new OciError(
      'INVALID_IMAGE',
      `the image has ${length} layers, at most ${MAX_LAYERS} work`,
    )
  }
  await copyBlob(manifest.config, options, MAX_CONFIG_BYTES)
  // Reads the config before gigabytes of layers are fetched for nothing.
  parseImageConfig(await readBack(options.blobs, manifest.config.digest, MAX_CONFIG_BYTES))
  for (const layer of manifest.layers) await copyBlob(layer, options, MAX_LAYER_BYTES)
}

async function copyBlob(
  descriptor: Descriptor,
  { blobs, source, now, progress }: ImportOptions,
  maxSize: number,
): Promise<void> {
  const { digest, size } = descriptor
  if (size > maxSize) throw new OciError('TOO_LARGE', `blob ${digest} of ${size} bytes`)
  const known = await blobs.size(digest)
  if (known !== null && known !== size) {
    throw new OciError('DIGEST_MISMATCH', `${digest} has ${known} bytes, the manifest says ${size}`)
  }
  if (!(await blobs.touch(digest, now()))) {
    const counted = count(await source.blob(descriptor), (done) =>
      progress?.({ digest, size, done }),
    )
    await blobs.write(counted, { digest, size, maxSize: size })
  }
  progress?.({ digest, size, done: size })
}

async function* count(
  source: AsyncIterable<Uint8Array>,
  report: (done: number) => void,
): AsyncGenerator<Uint8Array> {
  let done = 0
  for await (const chunk of source) {
    done += chunk.length
    report(done)
    yield chunk
  }
}

async function readBack(blobs: BlobStore, digest: BlobDigest, limit: number): Promise<Buffer> {
  const bytes = await blobs.readAll(digest, limit)
  if (bytes === null) throw new OciError('NOT_FOUND', `${digest} vanished while it was imported`)
  return bytes
}
