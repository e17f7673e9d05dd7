import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { Digest } from '../model/release.ts'
import type { TargetRegistry } from '../model/targets.ts'
import { OciError } from '../oci/oci-error.ts'
import { parseReference } from '../oci/reference.ts'
import { RegistryClient } from '../oci/registry-client.ts'
import { basicHeader, type Credentials } from '../oci/registry-session.ts'

/** Path of the order to collect garbage, beside the registry's own `/v2/`. */
export const COLLECTION = '/collect'
const COLLECTION_MS = 10 * 60_000
/** A tag that is the number of a release; what people push beside them has other names. */
export const RELEASE_TAG = /^[1-9]\d*$/

export interface ClusterRegistryOptions {
  readonly registry: TargetRegistry
  /** URL at which it answers. */
  readonly endpoint: string
  readonly fetch: typeof fetch
}

/**
 * The registry beside a control plane in a cluster, as its servers see it. Releases are tags there (`shop/production:3`), and a tag is what keeps an image: what a server
 * does not know of, after its database was lost, stays. All methods throw FairwayError REGISTRY_FAILED.
 */
export class ClusterRegistry {
  readonly #options: ClusterRegistryOptions

  constructor(options: ClusterRegistryOptions) {
    this.#options = options
  }

  /** Names an image that was pushed by its digest, if it is there. Doing it again changes nothing. */
  async tag(ref: AppRef, number: number, digest: Digest): Promise<void> {
    await this.#asking(async () => {
      const found = await this.#manifest(ref, digest)
      if (found === null) return
      const named = this.#client(ref, `:${String(number)}`)
      await named.pushManifest(found.bytes, found.descriptor.mediaType)
    })
  }

  /** Numbers of the releases that have a tag, in no order. */
  async tagged(ref: AppRef): Promise<readonly number[]> {
    const tags = await this.#asking(() => this.#client(ref).tags())
    return tags.filter((tag) => RELEASE_TAG.test(tag)).map(Number)
  }

  /** Takes away the tag of a release, or with null those of all. */
  async withdraw(ref: AppRef, number: number | null): Promise<void> {
    const client = this.#client(ref)
    const numbers = number === null ? await this.tagged(ref) : [number]
    for (const each of numbers) await this.#asking(() => client.deleteTag(String(each)))
  }

  /** Removes what no tag reaches and nobody used for so long, images of build steps among it. @returns freed bytes */
  async collect(olderThanMs: number): Promise<number> {
    const { endpoint } = this.#options
    const url = new URL(COLLECTION, endpoint)
    url.searchParams.set('olderThanMs', String(Math.round(olderThanMs)))
    const authorization = basicHeader(this.#login())
    const signal = AbortSignal.timeout(COLLECTION_MS)
    return await this.#asking(async () => {
      const response = await this.#options.fetch(url, {
        method: 'POST',
        headers: { authorization },
        signal,
        redirect: 'error',
      })
      const text = await response.text()
      const bytes = response.status === 200 ? /^\{"bytes":(\d{1,15})\}$/.exec(text)?.[1] : undefined
      if (bytes !== undefined) return Number(bytes)
      throw new OciError('REGISTRY_FAILED', `it answered ${String(response.status)}`)
    })
  }

  // Private

  #login(): Credentials {
    const { user, password } = this.#options.registry
    return { username: user ?? '', password: password ?? '' }
  }

  #client(ref: AppRef, reference = ''): RegistryClient {
    const { endpoint, registry, fetch } = this.#options
    const auth = this.#login()
    const name = parseReference(`${registry.name}/${refKey(ref)}${reference}`, null)
    return new RegistryClient(name, 'pull,push,delete', { auth, endpoint, plainHttp: true, fetch })
  }

  async #manifest(
    ref: AppRef,
    digest: Digest,
  ): Promise<Awaited<ReturnType<RegistryClient['resolve']>> | null> {
    try {
      return await this.#client(ref, `@${digest}`).resolve()
    } catch (error) {
      if (error instanceof OciError && error.code === 'NOT_FOUND') return null
      throw error
    }
  }

  async #asking<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw new FairwayError('REGISTRY_FAILED', `the registry of this cluster: ${why}`, {
        cause: error,
      })
    }
  }
}
