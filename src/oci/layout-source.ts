import { constants } from 'node:fs'
import { open, realpath, type FileHandle } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { algorithmOf, hexOf, type BlobDigest } from './digest.ts'
import type { BlobSource } from './image-importer.ts'
import { parseManifest, type Descriptor, type ImageIndex } from './manifest.ts'
import { MEDIA_TYPES } from './media-type.ts'
import { errno, OciError } from './oci-error.ts'
import { Fields, parseStrictJson } from './strict-json.ts'

const MAX_JSON_BYTES = 8 << 20

/** An OCI image layout folder (image-spec image-layout.md), read as if an enemy had written it: nothing outside of it is ever opened. */
export class LayoutSource implements BlobSource {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** @throws OciError INVALID_IMAGE where the folder is no layout */
  async index(): Promise<ImageIndex> {
    const marker = new Fields(
      parseStrictJson(await readInside(this.#folder, 'oci-layout'), 'oci-layout'),
      'oci-layout',
    )
    if (marker.string('imageLayoutVersion') !== '1.0.0') {
      throw marker.wrong('imageLayoutVersion', '"1.0.0"')
    }
    const bytes = await readInside(this.#folder, 'index.json')
    const index = parseManifest(bytes, null)
    if (index.kind === 'index') return index
    throw new OciError('INVALID_IMAGE', 'index.json is not an image index')
  }

  blob(descriptor: Descriptor): Promise<AsyncIterable<Uint8Array>> {
    return Promise.resolve(streamInside(this.#folder, blobPath(descriptor.digest)))
  }

  manifest(descriptor: Descriptor): Promise<AsyncIterable<Uint8Array>> {
    return this.blob(descriptor)
  }
}

/**
 * What to import: the entry whose `org.opencontainers.image.ref.name` is `ref`, or the only one. The index itself stands for "several platforms
 * of one image". @throws OciError NOT_FOUND naming the refs that there are
 */
export function chooseEntry(index: ImageIndex, ref: string | null): readonly Descriptor[] {
  const known = index.manifests.filter(({ mediaType }) => IMAGE_TYPES.has(mediaType))
  if (ref === null) return known
  const named = known.filter(({ annotations }) => refMatches(annotations[REF_NAME], ref))
  if (named.length > 0) return named
  const there = known.map(({ annotations }) => annotations[REF_NAME] ?? '(unnamed)').join(', ')
  throw new OciError('NOT_FOUND', `the layout has no image ${ref}; it has: ${there || 'none'}`)
}

/** Opens a regular file that really lies inside `folder`, whatever symlinks say. @throws OciError INVALID_IMAGE */
export async function openInside(folder: string, path: string): Promise<FileHandle> {
  try {
    const root = await realpath(folder)
    const real = await realpath(join(root, path))
    if (!real.startsWith(root + sep)) {
      throw new OciError('INVALID_IMAGE', `${path} leads out of the image's folder`)
    }
    const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    if ((await file.stat()).isFile()) return file
    await file.close()
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errno(error) ?? '')) throw error
  }
  throw new OciError('INVALID_IMAGE', `${path} is missing or no regular file`)
}

export async function readInside(folder: string, path: string): Promise<Buffer> {
  const file = await openInside(folder, path)
  try {
    const { size } = await file.stat()
    if (size > MAX_JSON_BYTES) throw new OciError('TOO_LARGE', `${path} has ${size} bytes`)
    return await file.readFile()
  } finally {
    await file.close()
  }
}

export async function* streamInside(folder: string, path: string): AsyncGenerator<Uint8Array> {
  const file = await openInside(folder, path)
  try {
    const stream: AsyncIterable<unknown> = file.createReadStream({
      highWaterMark: 1 << 20,
      autoClose: false,
    })
    for await (const chunk of stream) {
      if (!(chunk instanceof Uint8Array)) throw new TypeError('a file gave no bytes')
      yield chunk
    }
  } finally {
    await file.close()
  }
}

// Private

const REF_NAME = 'org.opencontainers.image.ref.name'
const IMAGE_TYPES: ReadonlySet<string> = new Set([
  MEDIA_TYPES.manifest,
  MEDIA_TYPES.index,
  MEDIA_TYPES.dockerManifest,
  MEDIA_TYPES.dockerIndex,
])

/** containerd writes whole references, others only the tag. */
function refMatches(name: string | undefined, ref: string): boolean {
  return name !== undefined && (name === ref || name.endsWith(`:${ref}`))
}

function blobPath(digest: BlobDigest): string {
  return join('blobs', algorithmOf(digest), hexOf(digest))
}
