import { createHash } from 'node:crypto'
import { algorithmOf, isBlobDigest, type BlobDigest } from '../oci/digest.ts'
import type { ImageStore } from '../oci/image-store.ts'
import {
  MAX_MANIFEST_BYTES,
  parseManifest,
  type ImageIndex,
  type ImageManifest,
} from '../oci/manifest.ts'
import { MEDIA_TYPES } from '../oci/media-type.ts'
import { isTag } from '../oci/reference.ts'
import type { RepositoryManifest } from '../oci/repository-store.ts'
import {
  answer,
  answerJson,
  notAllowed,
  readBody,
  requiredDigest,
  type Exchange,
} from './exchange.ts'
import { RegistryError } from './registry-error.ts'

interface ManifestRoutesOptions {
  readonly images: ImageStore
  readonly maxManifestBytes: number
  readonly now: () => number
}

const MAX_PAGE = 1000

/** distribution-spec "Pulling manifests", "Pushing manifests", "Content Discovery" and "Content Management". */
export class ManifestRoutes {
  readonly #options: ManifestRoutesOptions

  constructor(options: ManifestRoutesOptions) {
    this.#options = options
  }

  async manifest(exchange: Exchange, repository: string, reference: string): Promise<void> {
    switch (exchange.request.method) {
      case 'GET':
      case 'HEAD':
        await this.#get(exchange, repository, reference)
        return
      case 'PUT':
        await this.#put(exchange, repository, reference)
        return
      case 'DELETE':
        await this.#delete(exchange, repository, reference)
        return
      default:
        throw notAllowed('GET, HEAD, PUT, DELETE')
    }
  }

  /** In byte order; `last` is excluded, `n` bounds the page. */
  async tags(exchange: Exchange, repository: string): Promise<void> {
    const { query, request } = exchange
    const { repositories } = this.#options.images
    if (request.method !== 'GET' && request.method !== 'HEAD') throw notAllowed('GET')
    if (!(await repositories.exists(repository))) throw unknownName(repository)
    const last = query.get('last')
    const rest = (await repositories.tags(repository)).filter((tag) => last === null || tag > last)
    const count = pageSize(query.get('n'))
    const tags = rest.slice(0, count)
    const headers: Record<string, string> = {}
    const end = tags.at(-1)
    if (end !== undefined && tags.length < rest.length) {
      const next = `/v2/${repository}/tags/list?n=${tags.length}&last=${encodeURIComponent(end)}`
      headers['link'] = `<${next}>; rel="next"`
    }
    answerJson(exchange, { name: repository, tags }, { headers })
  }

  /** Always an index, empty where nothing refers to the digest. */
  async referrers(exchange: Exchange, repository: string, digestText: string): Promise<void> {
    const { request, query } = exchange
    if (request.method !== 'GET' && request.method !== 'HEAD') throw notAllowed('GET')
    const digest = requiredDigest(digestText)
    const wanted = query.get('artifactType')
    const manifests: Referrer[] = []
    for (const entry of await this.#options.images.repositories.manifests(repository)) {
      if (entry.subject !== digest) continue
      const referrer = await this.#referrer(entry)
      if (wanted === null || referrer?.artifactType === wanted) {
        if (referrer !== null) manifests.push(referrer)
      }
    }
    const headers = {
      'content-type': MEDIA_TYPES.index,
      ...(wanted === null ? {} : { 'oci-filters-applied': 'artifactType' }),
    }
    answerJson(exchange, { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests }, { headers })
  }

  // Private

  async #get(
    { request, response }: Exchange,
    repository: string,
    reference: string,
  ): Promise<void> {
    const { images } = this.#options
    const digest = await this.#find(repository, reference)
    const entry = digest === null ? null : await images.repositories.manifest(repository, digest)
    const bytes =
      entry === null ? null : await images.blobs.readAll(entry.digest, MAX_MANIFEST_BYTES)
    if (entry === null || bytes === null) throw unknownManifest(reference)
    response.writeHead(200, {
      'content-type': entry.mediaType,
      'content-length': bytes.length,
      'docker-content-digest': entry.digest,
      etag: `"${entry.digest}"`,
    })
    response.end(request.method === 'HEAD' ? undefined : bytes)
  }

  async #put(exchange: Exchange, repository: string, reference: string): Promise<void> {
    const { request, response, query } = exchange
    const { images, maxManifestBytes } = this.#options
    const tags = [...(isTag(reference) ? [reference] : []), ...query.getAll('tag')]
    const named = isTag(reference) ? null : requiredDigest(reference)
    for (const tag of tags) if (!isTag(tag)) throw invalidTag(tag)
    const bytes = await readBody(request, Math.min(maxManifestBytes, MAX_MANIFEST_BYTES))
    const digest = digestLike(bytes, named)
    if (named !== null && named !== digest) {
      throw new RegistryError(
        { status: 400, code: 'DIGEST_INVALID' },
        `the manifest has the digest ${digest}, not ${named}`,
      )
    }
    const contentType = request.headers['content-type']?.split(';', 1)[0]?.trim() ?? null
    const document = parseManifest(bytes, contentType)
    const subject = document.subject?.digest ?? null
    await images.withoutCollection(async () => {
      await this.#checkBlobs(repository, document)
      await images.blobs.write([bytes], { digest })
      const { mediaType } = document
      await images.repositories.putManifest(repository, { digest, mediaType, subject })
      for (const tag of tags) await images.repositories.putTag(repository, tag, digest)
    })
    answer(response, 201, {
      location: `/v2/${repository}/manifests/${reference}`,
      'docker-content-digest': digest,
      ...(subject === null ? {} : { 'oci-subject': subject }),
      ...(named === null || tags.length === 0 ? {} : { 'oci-tag': tags.join(', ') }),
    })
  }

  /** An image must be whole, but for layers that may not be distributed; an index may name platforms that are elsewhere. */
  async #checkBlobs(repository: string, document: ImageManifest | ImageIndex): Promise<void> {
    if (document.kind === 'index') return
    const { images, now } = this.#options
    for (const { digest, mediaType } of [document.config, ...document.layers]) {
      if (/nondistributable|\.foreign\./.test(mediaType)) continue
      const linked = await images.repositories.hasBlob(repository, digest)
      if (linked && (await images.blobs.touch(digest, now()))) continue
      throw new RegistryError(
        { status: 404, code: 'MANIFEST_BLOB_UNKNOWN' },
        `the manifest names ${digest}, which was not pushed to ${repository}`,
      )
    }
  }

  async #delete({ response }: Exchange, repository: string, reference: string): Promise<void> {
    const { repositories } = this.#options.images
    const gone = isTag(reference)
      ? await repositories.deleteTag(repository, reference)
      : await repositories.deleteManifest(repository, requiredDigest(reference))
    if (!gone) throw unknownManifest(reference)
    answer(response, 202)
  }

  async #find(repository: string, reference: string): Promise<BlobDigest | null> {
    if (isBlobDigest(reference)) return reference
    if (reference.includes(':')) return requiredDigest(reference)
    return await this.#options.images.repositories.tag(repository, reference)
  }

  async #referrer({ digest, mediaType }: RepositoryManifest): Promise<Referrer | null> {
    const bytes = await this.#options.images.blobs.readAll(digest, MAX_MANIFEST_BYTES)
    if (bytes === null) return null
    const document = parseManifest(bytes, mediaType)
    const fallback = document.kind === 'manifest' ? document.config.mediaType : undefined
    const artifactType = document.artifactType ?? fallback
    return {
      mediaType,
      digest,
      size: bytes.length,
      ...(artifactType === undefined ? {} : { artifactType }),
      annotations: document.annotations,
    }
  }
}

// Private

interface Referrer {
  readonly mediaType: string
  readonly digest: BlobDigest
  readonly size: number
  readonly artifactType?: string
  readonly annotations: Readonly<Record<string, string>>
}

function digestLike(bytes: Buffer, named: BlobDigest | null): BlobDigest {
  const algorithm = named === null ? 'sha256' : algorithmOf(named)
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

function pageSize(text: string | null): number {
  if (text === null) return MAX_PAGE
  if (!/^\d{1,9}$/.test(text)) {
    throw new RegistryError({ status: 400, code: 'UNSUPPORTED' }, 'n must be a number, 0 or more')
  }
  return Math.min(MAX_PAGE, Number(text))
}

function invalidTag(tag: string): RegistryError {
  return new RegistryError(
    { status: 400, code: 'MANIFEST_INVALID' },
    `tag ${JSON.stringify(tag)} is not allowed`,
  )
}

function unknownManifest(reference: string): RegistryError {
  return new RegistryError(
    { status: 404, code: 'MANIFEST_UNKNOWN' },
    `there is no manifest ${reference} here`,
  )
}

function unknownName(repository: string): RegistryError {
  return new RegistryError(
    { status: 404, code: 'NAME_UNKNOWN' },
    `there is no repository ${repository}`,
  )
}
