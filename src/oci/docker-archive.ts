import { open, rm, mkdir } from 'node:fs/promises'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import type { BlobStore } from './blob-store.ts'
import { isDigest, sha256, type Digest } from './digest.ts'
import { GzipWriter } from './gzip-writer.ts'
import { MAX_CONFIG_BYTES, parseImageConfig } from './image-config.ts'
import { LayerApplier } from './layer-applier.ts'
import { layerStream, UNPACK_LIMITS } from './layer-stream.ts'
import { openInside, readInside, streamInside } from './layout-source.ts'
import { MEDIA_TYPES, type LayerCodec } from './media-type.ts'
import { errno, OciError } from './oci-error.ts'
import { Fields, parseStrictJson } from './strict-json.ts'
import { TarReader } from './tar-reader.ts'
import { TreeWriter } from './tree-writer.ts'

/** Unpacks an archive (tar, plain or gzip) into a new folder; links cannot lead out of it. Owners and modes are not kept. */
export async function unpackArchive(tarFile: string, folder: string): Promise<void> {
  const codec = await sniff(tarFile)
  const file = await open(tarFile, 'r')
  const { size } = await file.stat()
  const stream = layerStream(createReadStream('', { fd: file, highWaterMark: 1 << 20 }), {
    codec,
    size,
    diffId: null,
    limits: { ...UNPACK_LIMITS, maxRatio: 1000 },
  })
  const target = new TreeWriter(folder, { offset: 0, change: false })
  await new LayerApplier(target).apply(new TarReader(stream), { alone: false })
}

/** `manifest.json` of `docker save` (moby image/spec v1.2). */
export async function isDockerArchive(folder: string): Promise<boolean> {
  try {
    await (await openInside(folder, 'manifest.json')).close()
    return true
  } catch (error) {
    if (error instanceof OciError) return false
    throw error
  }
}

interface ArchiveOptions {
  readonly folder: string
  readonly blobs: BlobStore
  readonly newTemporary: () => string
}

/** Stores config and layers, layers compressed, and an OCI manifest over them. Returns its digest. @throws OciError INVALID_IMAGE, DIGEST_MISMATCH */
export async function importDockerArchive(options: ArchiveOptions): Promise<Digest> {
  const { folder, blobs } = options
  const entry = await onlyImage(folder)
  const configPath = entry.string('Config')
  if (configPath === null) throw entry.wrong('Config', 'the path of the config')
  const config = await readInside(folder, configPath)
  checkName(configPath, sha256(config))
  if (config.length > MAX_CONFIG_BYTES) {
    throw new OciError('TOO_LARGE', `${configPath} has ${config.length} bytes`)
  }
  const { diffIds } = parseImageConfig(config)
  const paths = entry.strings('Layers')
  if (paths.length !== diffIds.length) {
    throw entry.wrong('Layers', `a list of ${diffIds.length} paths, as the config has layers`)
  }
  const layers: { mediaType: string; digest: Digest; size: number }[] = []
  for (const [at, path] of paths.entries()) {
    const layer = await storeLayer(path, options)
    if (layer.diffId !== diffIds[at]) {
      throw new OciError(
        'DIGEST_MISMATCH',
        `${path} is ${layer.diffId}, the config says ${diffIds[at] ?? '?'}`,
      )
    }
    layers.push({ mediaType: layer.mediaType, digest: layer.digest, size: layer.size })
  }
  const stored = await blobs.write([config])
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config: { mediaType: MEDIA_TYPES.config, digest: stored.digest, size: stored.size },
      layers,
    }),
  )
  const digest = sha256(manifest)
  await blobs.write([manifest], { digest })
  return digest
}

// Private

async function onlyImage(folder: string): Promise<Fields> {
  const what = 'manifest.json'
  const list = parseStrictJson(await readInside(folder, what), what)
  const images = new Fields({ list }, what).list('list') ?? []
  if (images.length === 1) return new Fields(images[0], what)
  const names = images.flatMap((image) => new Fields(image, what).strings('RepoTags')).join(', ')
  throw new OciError(
    'INVALID_IMAGE',
    `the archive must hold one image, it holds ${images.length}${names === '' ? '' : `: ${names}`}`,
  )
}

/** Names that promise a digest must keep it. */
function checkName(path: string, digest: Digest): void {
  const name = `sha256:${(path.split('/').at(-1) ?? '').replace(/\.json$/, '')}`
  if (isDigest(name) && name !== digest) {
    throw new OciError('DIGEST_MISMATCH', `${path} has the digest ${digest}`)
  }
}

interface ArchiveLayer {
  readonly diffId: Digest
  readonly digest: Digest
  readonly size: number
  readonly mediaType: string
}

/** Already compressed layers keep their bytes, so that their digest stays what others know. */
async function storeLayer(path: string, options: ArchiveOptions): Promise<ArchiveLayer> {
  const { folder, blobs, newTemporary } = options
  const codec = await sniff(join(folder, path), folder)
  const directory = newTemporary()
  await mkdir(directory, { mode: 0o700 })
  const blob = join(directory, 'blob')
  const file = await open(blob, 'wx', 0o600)
  const gzip = new GzipWriter(file, 1)
  try {
    const source = await openInside(folder, path)
    const { size } = await source.stat()
    const stream = source.createReadStream({ highWaterMark: 1 << 20 })
    for await (const segment of segments(layerStream(stream, { codec, size, diffId: null }))) {
      await gzip.write(segment)
    }
    const made = await gzip.end()
    await file.sync()
    if (codec === 'none') {
      await blobs.adopt(blob, made.digest)
      const { contentDigest: diffId, digest } = made
      return { diffId, digest, size: made.size, mediaType: MEDIA_TYPES.layerGzip }
    }
    const stored = await blobs.write(streamInside(folder, path))
    if (!isDigest(stored.digest)) throw new OciError('INTERNAL', 'a blob without a sha256')
    const mediaType = codec === 'gzip' ? MEDIA_TYPES.layerGzip : MEDIA_TYPES.layerZstd
    return { diffId: made.contentDigest, digest: stored.digest, size: stored.size, mediaType }
  } finally {
    await gzip.settled()
    await file.close()
    await rm(directory, { recursive: true, force: true })
  }
}

/** Pieces of 1 MiB, whatever the chunks were: the compressed bytes depend on where the cuts are. */
async function* segments(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const size = 1 << 20
  let segment = Buffer.allocUnsafe(size)
  let used = 0
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      const copied = chunk.copy(segment, used, at)
      used += copied
      at += copied
      if (used < size) continue
      yield segment
      segment = Buffer.allocUnsafe(size)
      used = 0
    }
  }
  yield segment.subarray(0, used)
}

/** By magic number. With `folder`, the file must lie inside of it. */
async function sniff(path: string, folder: string | null = null): Promise<LayerCodec> {
  const head = Buffer.alloc(4)
  let file
  try {
    file =
      folder === null
        ? await open(path, 'r')
        : await openInside(folder, path.slice(folder.length + 1))
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
    throw new OciError('NOT_FOUND', `${path} does not exist`)
  }
  try {
    await file.read(head, 0, 4, 0)
  } finally {
    await file.close()
  }
  if (head.readUInt16BE(0) === 0x1f8b) return 'gzip'
  return head.readUInt32LE(0) === 0xfd2fb528 ? 'zstd' : 'none'
}
