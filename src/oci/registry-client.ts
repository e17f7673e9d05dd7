import { openAsBlob } from 'node:fs'
import { isDigest, sha256, type Digest } from './digest.ts'
import type { BlobSource } from './image-importer.ts'
import { MAX_MANIFEST_BYTES, type Descriptor } from './manifest.ts'
import { INDEX_TYPES, MANIFEST_TYPES } from './media-type.ts'
import { OciError } from './oci-error.ts'
import type { Reference } from './reference.ts'
import {
  bodyOf,
  DOCUMENT_MS,
  readLimited,
  RegistrySession,
  type Credentials,
} from './registry-session.ts'
import { Fields, parseStrictJson } from './strict-json.ts'

export interface RegistryClientOptions {
  readonly auth?: Credentials
  /** Another base URL for the reference's host, such as a mirror. */
  readonly endpoint?: string
  /** The endpoint may be plain http though it is not on loopback: the network between is trusted. */
  readonly plainHttp?: boolean
  readonly fetch?: typeof fetch
  readonly signal?: AbortSignal
  /** Ends a download that gives nothing for so long; default 60 s. */
  readonly idleMs?: number
  /** Longest time for the whole of a manifest; default 120 s. */
  readonly documentMs?: number
}

const RESUMES = 3
const MAX_TAGS_BYTES = 4 << 20
const MAX_TAG_PAGES = 100

const REFUSALS: ReadonlyMap<number, string> = new Map([
  [401, 'does not know this login (401)'],
  [403, 'does not allow it to this login (403)'],
])

/** One repository of a registry (distribution-spec 1.1), for pulling and pushing. */
export class RegistryClient implements BlobSource {
  readonly #reference: Reference
  readonly #session: RegistrySession
  readonly #idleMs: number
  readonly #documentMs: number

  constructor(
    reference: Reference,
    access: 'pull' | 'pull,push' | 'pull,push,delete',
    options: RegistryClientOptions = {},
  ) {
    const { idleMs = 60_000, documentMs = DOCUMENT_MS, ...session } = options
    const { host, repository } = reference
    this.#reference = reference
    this.#session = new RegistrySession({
      host,
      scope: `repository:${repository}:${access}`,
      ...session,
    })
    this.#idleMs = idleMs
    this.#documentMs = documentMs
  }

  /** The manifest or index that the reference names, byte for byte. @throws OciError NOT_FOUND, DIGEST_MISMATCH, REGISTRY_FAILED */
  async resolve(): Promise<{ readonly descriptor: Descriptor; readonly bytes: Buffer }> {
    const { digest, tag } = this.#reference
    const response = await this.#manifest(digest ?? tag ?? 'latest')
    const bytes = await readLimited(response, MAX_MANIFEST_BYTES, this.#documentMs)
    const actual = sha256(bytes)
    const promised = digest ?? response.headers.get('docker-content-digest')
    if (promised !== null && isDigest(promised) && promised !== actual) {
      throw new OciError(
        'DIGEST_MISMATCH',
        `${this.#name()} promised ${promised} and gave ${actual}`,
      )
    }
    const mediaType = (response.headers.get('content-type') ?? '').split(';', 1)[0]?.trim() ?? ''
    const plain = { annotations: {}, artifactType: null, platform: null }
    return { bytes, descriptor: { mediaType, digest: actual, size: bytes.length, ...plain } }
  }

  async manifest(descriptor: Descriptor): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#manifest(descriptor.digest)
    return bodyOf(response, { totalMs: this.#documentMs })
  }

  /** A download that breaks off is resumed where it stopped. */
  async blob({ digest, size }: Descriptor): Promise<AsyncIterable<Uint8Array>> {
    const first = await this.#blobFrom(digest, 0)
    return this.#resumed(first, digest, size)
  }

  async hasBlob(digest: Digest): Promise<boolean> {
    const response = await this.#session.request({
      method: 'HEAD',
      url: this.#path('blobs', digest),
    })
    await response.body?.cancel()
    if (response.status === 200) return true
    if (response.status === 404) return false
    throw this.#refused(response.status, `blob ${digest}`)
  }

  /** One POST and one PUT with the whole blob. */
  async pushBlob(digest: Digest, file: string): Promise<void> {
    const opened = await this.#session.request({
      method: 'POST',
      url: `/v2/${this.#reference.repository}/blobs/uploads/`,
    })
    await opened.body?.cancel()
    const location = opened.headers.get('location')
    if (opened.status !== 202 || location === null) throw this.#refused(opened.status, 'an upload')
    const url = new URL(location, opened.url)
    url.searchParams.append('digest', digest)
    const response = await this.#session.request({
      method: 'PUT',
      url: url.href,
      headers: { 'content-type': 'application/octet-stream' },
      body: await openAsBlob(file),
    })
    await response.body?.cancel()
    if (response.status !== 201) throw this.#refused(response.status, `blob ${digest}`)
  }

  async pushManifest(bytes: Uint8Array, mediaType: string): Promise<void> {
    const { tag, digest } = this.#reference
    const response = await this.#session.request({
      method: 'PUT',
      url: this.#path('manifests', tag ?? digest ?? 'latest'),
      headers: { 'content-type': mediaType },
      body: new Uint8Array(bytes),
    })
    await response.body?.cancel()
    if (response.status !== 201) throw this.#refused(response.status, 'the manifest')
  }

  /** All tags of the repository; none where nothing was ever pushed to it. @throws OciError REGISTRY_FAILED, TOO_LARGE for more than 100 pages */
  async tags(): Promise<readonly string[]> {
    const found: string[] = []
    for (let page = 0; page < MAX_TAG_PAGES; page += 1) {
      const last = found.at(-1)
      const tags = await this.#tagsAfter(last)
      found.push(...tags.values)
      if (tags.values.length === 0 || !tags.hasMore) return found
    }
    throw new OciError('TOO_LARGE', `${this.#name()}: too many tags`)
  }

  /** False where there was none. @throws OciError REGISTRY_FAILED */
  async deleteTag(tag: string): Promise<boolean> {
    const response = await this.#session.request({
      method: 'DELETE',
      url: this.#path('manifests', tag),
    })
    await response.body?.cancel()
    if (response.status === 202) return true
    if (response.status === 404) return false
    throw this.#refused(response.status, `deleting tag ${tag}`)
  }

  // Private

  async #tagsAfter(
    last: string | undefined,
  ): Promise<{ readonly values: readonly string[]; readonly hasMore: boolean }> {
    const query = last === undefined ? '' : `?last=${encodeURIComponent(last)}`
    const url = `/v2/${this.#reference.repository}/tags/list${query}`
    const response = await this.#session.request({ method: 'GET', url })
    if (response.status !== 200) {
      await response.body?.cancel()
      if (response.status === 404) return { values: [], hasMore: false }
      throw this.#refused(response.status, 'its tags')
    }
    const bytes = await readLimited(response, MAX_TAGS_BYTES, this.#documentMs)
    const fields = new Fields(parseStrictJson(bytes, 'list of tags'), 'list of tags')
    return { values: fields.strings('tags'), hasMore: response.headers.has('link') }
  }

  async #manifest(reference: string): Promise<Response> {
    const response = await this.#session.request({
      method: 'GET',
      url: this.#path('manifests', reference),
      headers: { accept: [...MANIFEST_TYPES, ...INDEX_TYPES].join(', ') },
    })
    if (response.status === 200) return response
    await response.body?.cancel()
    if (response.status === 404) {
      throw new OciError('NOT_FOUND', `${this.#name()} does not exist (or needs credentials)`)
    }
    throw this.#refused(response.status, this.#name())
  }

  async #blobFrom(digest: string, start: number): Promise<Response> {
    const response = await this.#session.request({
      method: 'GET',
      url: this.#path('blobs', digest),
      headers: start === 0 ? {} : { range: `bytes=${start}-` },
    })
    if (response.status === (start === 0 ? 200 : 206)) return response
    await response.body?.cancel()
    if (response.status === 404)
      throw new OciError('NOT_FOUND', `${this.#name()} lacks blob ${digest}`)
    throw this.#refused(response.status, `blob ${digest}`)
  }

  async *#resumed(first: Response, digest: string, size: number): AsyncGenerator<Uint8Array> {
    let response = first
    let done = 0
    for (let breaks = 0; ; breaks += 1) {
      try {
        for await (const chunk of bodyOf(response, { idleMs: this.#idleMs })) {
          done += chunk.length
          yield chunk
        }
        return
      } catch (error) {
        // A wrong size shows up when the blob is checked; only a break is worth another try.
        if (breaks >= RESUMES || done === 0 || done >= size || error instanceof OciError)
          throw error
        response = await this.#blobFrom(digest, done)
      }
    }
  }

  #path(kind: 'manifests' | 'blobs', reference: string): string {
    return `/v2/${this.#reference.repository}/${kind}/${reference}`
  }

  #name(): string {
    const { host, repository, tag, digest } = this.#reference
    return `${host}/${repository}${digest === null ? `:${tag ?? 'latest'}` : `@${digest}`}`
  }

  #refused(status: number, what: string): OciError {
    const why = REFUSALS.get(status) ?? `answered ${status}`
    return new OciError('REGISTRY_FAILED', `registry ${this.#reference.host} ${why}: ${what}`)
  }
}
