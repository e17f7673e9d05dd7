import { isDeepStrictEqual } from 'node:util'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { ClusterFacts } from './cluster-facts.ts'

export interface KnownFactsOptions {
  readonly read: () => Promise<ClusterFacts>
  readonly clock: Clock
  readonly log: Log
}

/** A Gateway or metrics may be installed at any time; nobody waits for it at the second. */
const FRESH_MS = 900_000

/** The facts of a cluster, read when they are needed and again when they are old; the same object as long as they are the same. */
export class KnownFacts {
  readonly #options: KnownFactsOptions
  #current: ClusterFacts | null = null
  #readAt = 0
  #reading: Promise<ClusterFacts> | null = null

  constructor(options: KnownFactsOptions) {
    this.#options = options
  }

  /** Null until they were read for the first time. */
  get current(): ClusterFacts | null {
    return this.#current
  }

  /** Old facts are better than none: only the first reading can fail. @throws FairwayError CLUSTER_… */
  async get(): Promise<ClusterFacts> {
    const { clock, log } = this.#options
    const known = this.#current
    if (known !== null && clock.now() - this.#readAt < FRESH_MS) return known
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null
    })
    try {
      return await this.#reading
    } catch (error) {
      if (known === null) throw error
      log.debug({ error: String(error) }, 'facts of the cluster cannot be read again')
      return known
    }
  }

  async #read(): Promise<ClusterFacts> {
    const found = await this.#options.read()
    this.#readAt = this.#options.clock.now()
    if (!isDeepStrictEqual(found, this.#current)) this.#current = found
    return this.#current ?? found
  }
}
