import { pipeline } from 'node:stream/promises'
import type { ByteRange } from '../oci/blob-store.ts'
import { isBlobDigest, type BlobDigest } from '../oci/digest.ts'
import type { ImageStore } from '../oci/image-store.ts'
import { isRepositoryName } from '../oci/reference.ts'
import { parseByteRange, parseChunkRange } from './byte-range.ts'
import { answer, bodyOf, notAllowed, requiredDigest, type Exchange } from './exchange.ts'
import { RegistryError } from './registry-error.ts'
import type { Upload, UploadSessions } from './upload-sessions.ts'

interface BlobRoutesOptions {
  readonly images: ImageStore
  readonly uploads: UploadSessions
  readonly maxBlobBytes: number
  readonly now: () => number
  /** Whether who asks may read that repository: for mounts. */
  readonly mayRead: (exchange: Exchange, repository: string) => Promise<boolean>
}

/** distribution-spec "Pulling blobs", "Push" and "Deleting blobs". */
export class BlobRoutes {
  readonly #options: BlobRoutesOptions

  constructor(options: BlobRoutesOptions) {
    this.#options = options
  }

  async blob(exchange: Exchange, repository: string, digestText: string): Promise<void> {
    const { request, response } = exchange
    const { images } = this.#options
    const digest = requiredDigest(digestText)
    if (request.method === 'DELETE') {
      if (!(await images.repositories.unlinkBlob(repository, digest))) throw unknownBlob(digest)
      answer(response, 202)
      return
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') throw notAllowed('GET, HEAD, DELETE')
    const size = await images.blobs.size(digest)
    if (size === null || !(await images.repositories.hasBlob(repository, digest))) {
      throw unknownBlob(digest)
    }
    if (request.method === 'HEAD' && !(await this.#use(repository, digest)))
      throw unknownBlob(digest)
    await this.#send(exchange, digest, size)
  }

  /** POST …/blobs/uploads/ */
  async open(exchange: Exchange, repository: string): Promise<void> {
    const { request, response, query } = exchange
    const { images, uploads, maxBlobBytes } = this.#options
    if (request.method !== 'POST') throw notAllowed('POST')
    const mounted = await this.#mount(exchange, repository)
    if (mounted !== null) {
      answer(response, 201, created(repository, mounted))
      return
    }
    const digestText = query.get('digest')
    const digest = digestText === null ? null : requiredDigest(digestText)
    const upload = await uploads.open(
      repository,
      async () => await images.blobs.begin(maxBlobBytes),
    )
    if (digest === null) {
      answer(response, 202, progress(upload))
      return
    }
    // Nobody else knows this upload: what breaks off is over, and what lasts is not forgotten.
    await uploads.use(upload, async () => {
      try {
        await this.#finish(exchange, upload, digest)
      } finally {
        await uploads.end(upload)
      }
    })
  }

  /** …/blobs/uploads/<id> */
  async upload(exchange: Exchange, repository: string, id: string): Promise<void> {
    const { request, response, query } = exchange
    await this.#options.uploads.use({ id, repository }, async (upload) => {
      switch (request.method) {
        case 'GET':
          answer(response, 204, progress(upload))
          return
        case 'PATCH':
          await this.#append(exchange, upload)
          answer(response, 202, progress(upload))
          return
        case 'PUT':
          await this.#finish(exchange, upload, requiredDigest(query.get('digest')))
          return
        case 'DELETE':
          await this.#options.uploads.end(upload)
          answer(response, 204)
          return
        default:
          throw notAllowed('GET, PATCH, PUT, DELETE')
      }
    })
  }

  // Private

  async #send({ request, response }: Exchange, digest: BlobDigest, size: number): Promise<void> {
    const range = parseByteRange(request.headers.range, size)
    const headers = {
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      'accept-ranges': 'bytes',
      etag: `"${digest}"`,
    }
    if (range === 'unsatisfiable') {
      throw new RegistryError(
        { status: 416, code: 'SIZE_INVALID', headers: { 'content-range': `bytes */${size}` } },
        `the blob has ${size} bytes`,
      )
    }
    const part: ByteRange | null = range === 'whole' ? null : range
    const length = part === null ? size : part.end - part.start + 1
    const place =
      part === null ? {} : { 'content-range': `bytes ${part.start}-${part.end}/${size}` }
    if (request.method === 'HEAD' || length === 0) {
      response.writeHead(200, { ...headers, 'content-length': size })
      response.end()
      return
    }
    const stream = await this.#options.images.blobs.read(digest, part ?? undefined)
    if (stream === null) throw unknownBlob(digest)
    response.writeHead(part === null ? 200 : 206, {
      ...headers,
      ...place,
      'content-length': length,
    })
    await pipeline(stream, response)
  }

  /** Who asks whether a blob is here, and does not send it then, relies on it until the manifest comes: garbage collection must not take it between. */
  async #use(repository: string, digest: BlobDigest): Promise<boolean> {
    const { images, now } = this.#options
    return await images.withoutCollection(
      async () =>
        (await images.repositories.touchBlob(repository, digest, now())) &&
        (await images.blobs.touch(digest, now())),
    )
  }

  async #mount(exchange: Exchange, repository: string): Promise<BlobDigest | null> {
    const { images, now, mayRead } = this.#options
    const digest = exchange.query.get('mount')
    const from = exchange.query.get('from')
    if (digest === null || from === null) return null
    if (!isBlobDigest(digest) || !isRepositoryName(from)) return null
    if (!(await images.repositories.hasBlob(from, digest))) return null
    if (!(await mayRead(exchange, from))) return null
    return await images.withoutCollection(async () => {
      if (!(await images.blobs.touch(digest, now()))) return null
      await images.repositories.linkBlob(repository, digest, now())
      return digest
    })
  }

  async #append({ request }: Exchange, { draft, ...upload }: Upload): Promise<void> {
    const header = request.headers['content-range']
    const length = request.headers['content-length']
    if (header !== undefined) {
      const range = parseChunkRange(header)
      const wrongLength = length !== undefined && Number(length) !== rangeLength(range)
      if (range?.start !== draft.size || wrongLength) {
        const headers = stringHeaders(progress({ draft, ...upload }))
        throw new RegistryError(
          { status: 416, code: 'BLOB_UPLOAD_INVALID', headers },
          `the next chunk must begin at byte ${draft.size}; got ${header}`,
        )
      }
    }
    for await (const chunk of bodyOf(request)) await draft.append(chunk)
  }

  async #finish(exchange: Exchange, upload: Upload, digest: BlobDigest): Promise<void> {
    const { images, uploads, now } = this.#options
    await this.#append(exchange, upload)
    try {
      await images.withoutCollection(async () => {
        await upload.draft.commit(digest)
        await images.repositories.linkBlob(upload.repository, digest, now())
      })
    } finally {
      await uploads.end(upload)
    }
    answer(exchange.response, 201, created(upload.repository, digest))
  }
}

// Private

function progress({ id, repository, draft }: Upload): Record<string, string | number> {
  return {
    location: `/v2/${repository}/blobs/uploads/${id}`,
    // An empty upload says 0-0 too: that is how the protocol counts.
    range: `0-${Math.max(0, draft.size - 1)}`,
    'docker-upload-uuid': id,
  }
}

function created(repository: string, digest: BlobDigest): Record<string, string> {
  return { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest }
}

function stringHeaders(headers: Record<string, string | number>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
}

function rangeLength(range: ByteRange | null): number {
  return range === null ? -1 : range.end - range.start + 1
}

function unknownBlob(digest: BlobDigest): RegistryError {
  return new RegistryError({ status: 404, code: 'BLOB_UNKNOWN' }, `there is no blob ${digest} here`)
}
