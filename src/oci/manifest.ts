import { parseBlobDigest, sha256, type BlobDigest } from './digest.ts'
import { INDEX_TYPES, MANIFEST_TYPES, MEDIA_TYPES } from './media-type.ts'
import { OciError } from './oci-error.ts'
import { Fields, parseStrictJson } from './strict-json.ts'

/** Documents above this are refused everywhere; the distribution specification asks for at least 4 MB. */
export const MAX_MANIFEST_BYTES = 8 << 20
/** What overlayfs and other runtimes stack. */
export const MAX_LAYERS = 127
const MAX_INDEX_ENTRIES = 10_000

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant: string | null
}

/** image-spec descriptor.md */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: BlobDigest
  readonly size: number
  readonly annotations: Readonly<Record<string, string>>
  readonly artifactType: string | null
  readonly platform: Platform | null
}

interface DocumentBase {
  /** As the document or, where it is silent, its content type says. */
  readonly mediaType: string
  readonly artifactType: string | null
  readonly annotations: Readonly<Record<string, string>>
  readonly subject: Descriptor | null
}

export interface ImageManifest extends DocumentBase {
  readonly kind: 'manifest'
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

export interface ImageIndex extends DocumentBase {
  readonly kind: 'index'
  readonly manifests: readonly Descriptor[]
}

/**
 * Reads a manifest or index so that it can mean one thing only: no duplicate keys, not both kinds at once, and its own mediaType equal to
 * the content type it came with (CVE-2021-41190). @throws OciError INVALID_IMAGE, TOO_LARGE
 */
export function parseManifest(
  bytes: Uint8Array,
  contentType: string | null,
): ImageManifest | ImageIndex {
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new OciError(
      'TOO_LARGE',
      `a manifest may have ${MAX_MANIFEST_BYTES} bytes, this one has ${bytes.length}`,
    )
  }
  const fields = new Fields(parseStrictJson(bytes, 'manifest'), 'manifest')
  if (fields.integer('schemaVersion') !== 2) throw fields.wrong('schemaVersion', '2')
  const isIndex = fields.has('manifests')
  if (isIndex && (fields.has('layers') || fields.has('config') || fields.has('fsLayers'))) {
    throw invalid('manifest is an index and an image manifest at once')
  }
  const mediaType = checkedMediaType(fields, { contentType, isIndex })
  const subject = fields.object('subject')
  const base = {
    mediaType,
    artifactType: fields.string('artifactType'),
    annotations: fields.stringMap('annotations'),
    subject: subject === null ? null : descriptor(subject, 'subject'),
  }
  if (isIndex) {
    const manifests = descriptors(fields, 'manifests', MAX_INDEX_ENTRIES)
    return { ...base, kind: 'index', manifests }
  }
  const config = fields.object('config')
  if (config === null) throw fields.wrong('config', 'a descriptor')
  return {
    ...base,
    kind: 'manifest',
    config: descriptor(config, 'config'),
    layers: descriptors(fields, 'layers', MAX_INDEX_ENTRIES),
  }
}

// Private

function checkedMediaType(
  fields: Fields,
  { contentType, isIndex }: { readonly contentType: string | null; readonly isIndex: boolean },
): string {
  const own = fields.string('mediaType')
  if (own !== null && contentType !== null && own !== contentType) {
    throw invalid(`manifest says mediaType ${own} but came as ${contentType}`)
  }
  const mediaType = own ?? contentType ?? (isIndex ? MEDIA_TYPES.index : MEDIA_TYPES.manifest)
  const allowed = isIndex ? INDEX_TYPES : MANIFEST_TYPES
  if (!allowed.includes(mediaType)) {
    throw invalid(`a document with ${isIndex ? 'manifests' : 'layers'} cannot be ${mediaType}`)
  }
  return mediaType
}

function descriptors(fields: Fields, key: string, limit: number): Descriptor[] {
  const list = fields.list(key)
  if (list === null) throw fields.wrong(key, 'a list of descriptors')
  if (list.length > limit) throw fields.wrong(key, `a list of at most ${limit}`)
  return list.map((value, at) => descriptor(new Fields(value, `${key}[${at}]`), `${key}[${at}]`))
}

function descriptor(fields: Fields, what: string): Descriptor {
  const mediaType = fields.string('mediaType')
  if (mediaType === null || mediaType === '') throw fields.wrong('mediaType', 'a media type')
  const size = fields.integer('size')
  if (size === null) throw fields.wrong('size', 'a number of bytes')
  const digest = parseBlobDigest(fields.string('digest') ?? '', `${what}: digest`)
  const data = fields.string('data')
  if (data !== null) checkData(data, { digest, size, what })
  return {
    mediaType,
    digest,
    size,
    annotations: fields.stringMap('annotations'),
    artifactType: fields.string('artifactType'),
    platform: platform(fields.object('platform')),
  }
}

function checkData(
  data: string,
  {
    digest,
    size,
    what,
  }: { readonly digest: BlobDigest; readonly size: number; readonly what: string },
): void {
  const bytes = Buffer.from(data, 'base64')
  const isSha512 = digest.startsWith('sha512:')
  if (bytes.length !== size || (!isSha512 && sha256(bytes) !== digest)) {
    throw new OciError('DIGEST_MISMATCH', `${what}: embedded data does not match its digest`)
  }
}

function platform(fields: Fields | null): Platform | null {
  if (fields === null) return null
  return {
    os: fields.string('os') ?? '',
    architecture: fields.string('architecture') ?? '',
    variant: fields.string('variant'),
  }
}

function invalid(message: string): OciError {
  return new OciError('INVALID_IMAGE', message)
}
