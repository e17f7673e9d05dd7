import { backoffMs } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { WatchExpired, type ClusterClient } from './cluster-client.ts'
import { numberAt, textAt, type Json } from './json-value.ts'
import type { Kind } from './kinds.ts'

/** The least that a cached object must say of itself. */
export interface Cached {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** Numeric in every API server that is backed by etcd; compared only for objects with the same uid. */
  readonly resourceVersion: string
}

export interface WatchCacheOptions<T extends Cached> {
  readonly client: ClusterClient
  readonly kind: Kind
  readonly labels: string
  readonly metadataOnly?: boolean
  /** Not every cluster has this kind. The answer to somebody without rights for it is the same, whether it is there or not. */
  readonly optional?: boolean
  /** Keeps only what is needed of an object. */
  readonly trim: (object: Json) => T
  readonly onChange: (before: T | null, now: T | null) => void
  /** After each try to reach the cluster: null = it answers. */
  readonly onContact: (error: FairwayError | null) => void
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

const WATCH_SECONDS = 300
const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 10_000
/** A kind that this cluster does not have may be installed later. */
const ABSENT_KIND_WAIT_MS = 600_000

/**
 * The objects of one kind that carry our labels, in all namespaces, kept up to date by one list and one watch. Every change is announced once; after a lost
 * watch it goes on from the last version, and where the server has forgotten that one it lists again and announces the difference.
 */
export class WatchCache<T extends Cached> {
  readonly #options: WatchCacheOptions<T>
  readonly #objects = new Map<string, Map<string, T>>()
  readonly #synced = Promise.withResolvers<undefined>()
  #size = 0
  #isSynced = false
  /** Ends the wait for a kind that was not there: what can be written can be watched. */
  #absence: AbortController | null = null

  constructor(options: WatchCacheOptions<T>) {
    this.#options = options
  }

  /** True once everything that existed at the start is known. */
  get synced(): boolean {
    return this.#isSynced
  }

  get size(): number {
    return this.#size
  }

  untilSynced(): Promise<unknown> {
    return this.#synced.promise
  }

  get(namespace: string, name: string): T | null {
    return this.#objects.get(namespace)?.get(name) ?? null
  }

  in(namespace: string): readonly T[] {
    return [...(this.#objects.get(namespace)?.values() ?? [])]
  }

  all(): readonly T[] {
    return [...this.#objects.values()].flatMap((names) => [...names.values()])
  }

  /** Takes the answer to our own write without waiting for the watch to bring it. */
  put(object: Json): T {
    const now = this.#options.trim(object)
    this.#set(now)
    this.#absence?.abort()
    return now
  }

  /** Follows the cluster until the signal aborts. Never rejects. */
  async follow(signal: AbortSignal): Promise<void> {
    let version = ''
    for (let failures = 0; !signal.aborted;) {
      try {
        if (version === '') version = await this.#list(signal)
        version = await this.#watch(version, signal, () => {
          failures = 0
          this.#options.onContact(null)
        })
      } catch (error) {
        if (error instanceof WatchLost) version = error.version
        if (error instanceof WatchExpired) version = ''
        else failures += 1
        await this.#pause(error, failures, signal)
      }
    }
  }

  // Private

  async #list(signal: AbortSignal): Promise<string> {
    const { client, kind, labels, metadataOnly = false, trim } = this.#options
    const list = await client.list(kind, { namespace: null, labels, metadataOnly }, signal)
    const seen = new Set<string>()
    for (const object of list.items) {
      const now = trim(object)
      seen.add(`${now.namespace}/${now.name}`)
      this.#set(now)
    }
    for (const gone of this.all().filter((old) => !seen.has(`${old.namespace}/${old.name}`)))
      this.#remove(gone)
    this.#becomeSynced()
    return list.resourceVersion
  }

  /** Resolves with the version to go on from when the server ends the watch, as it does every few minutes. */
  async #watch(from: string, signal: AbortSignal, onOpen: () => void): Promise<string> {
    const { client, kind, labels, metadataOnly = false, random } = this.#options
    let version = from
    const seconds = Math.round(WATCH_SECONDS * (1 + random()))
    const options = {
      namespace: null,
      labels,
      metadataOnly,
      resourceVersion: version,
      seconds,
      onOpen,
    }
    try {
      for await (const { type, object } of client.watch(kind, options, signal)) {
        version = textAt(object, 'metadata', 'resourceVersion')
        if (type !== 'BOOKMARK') this.#take(type, object)
      }
    } catch (error) {
      if (version !== from && !(error instanceof WatchExpired)) throw new WatchLost(version, error)
      throw error
    }
    return version
  }

  #take(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: Json): void {
    const now = this.#options.trim(object)
    if (type === 'DELETED') this.#remove(now)
    else this.#set(now)
  }

  #set(now: T): void {
    const names = this.#objects.get(now.namespace) ?? new Map<string, T>()
    const before = names.get(now.name) ?? null
    if (before?.uid === now.uid && isOlder(now, before)) return
    if (before === null) this.#size += 1
    this.#objects.set(now.namespace, names.set(now.name, now))
    if (before?.resourceVersion !== now.resourceVersion) this.#options.onChange(before, now)
  }

  #remove(gone: Cached): void {
    const names = this.#objects.get(gone.namespace)
    const before = names?.get(gone.name) ?? null
    // The event of an older object of the same name says nothing of the one that replaced it.
    if (names === undefined || before === null || before.uid !== gone.uid) return
    names.delete(gone.name)
    if (names.size === 0) this.#objects.delete(gone.namespace)
    this.#size -= 1
    this.#options.onChange(before, null)
  }

  #becomeSynced(): void {
    this.#isSynced = true
    this.#synced.resolve(undefined)
  }

  #isAbsent(error: unknown): boolean {
    if (!(error instanceof FairwayError)) return false
    if (numberAt(error.details, 'status') === 404) return true
    return this.#options.optional === true && error.code === 'CLUSTER_FORBIDDEN'
  }

  async #pause(error: unknown, failures: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const { clock, random } = this.#options
    const ms = this.#afterFailure(error, failures) * (0.5 + random())
    const until = this.#absence === null ? signal : AbortSignal.any([signal, this.#absence.signal])
    await clock.sleep(ms, until).catch(() => undefined)
    this.#absence = null
  }

  #afterFailure(error: unknown, failures: number): number {
    const { log, kind, onContact } = this.#options
    const cause = error instanceof WatchLost ? error.cause : error
    if (cause instanceof WatchExpired) return FIRST_WAIT_MS
    if (this.#isAbsent(cause)) {
      this.#becomeSynced()
      this.#absence = new AbortController()
      return ABSENT_KIND_WAIT_MS
    }
    if (failures > 1 && cause instanceof FairwayError) onContact(cause)
    if (failures === 2) log.warn({ kind: kind.kind, error: String(cause) }, 'cannot watch')
    return backoffMs(Math.max(1, failures), { firstMs: FIRST_WAIT_MS, maxMs: LONGEST_WAIT_MS })
  }
}

/** A watch that broke after it had brought something: it goes on from there. */
class WatchLost extends Error {
  override readonly name = 'WatchLost'
  readonly version: string
  constructor(version: string, cause: unknown) {
    super('the watch broke', { cause })
    this.version = version
  }
}

function isOlder(one: Cached, other: Cached): boolean {
  const [a, b] = [Number(one.resourceVersion), Number(other.resourceVersion)]
  return Number.isSafeInteger(a) && Number.isSafeInteger(b) && a < b
}
