import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { Caller, RouteTable, Traffic } from '../model/traffic.ts'

export interface TableContent extends Omit<RouteTable, 'revision'> {
  readonly callers: readonly Caller[]
}

export interface PublisherOptions {
  readonly traffic: Traffic
  /** The table as it should be now. */
  readonly content: () => TableContent
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

const RETRY_MS = 250

/** Brings the table to the router, one publication at a time; callers that come meanwhile share the next one. Retries until the router answers. */
export class TablePublisher {
  readonly #options: PublisherOptions
  #revision = 0
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null
  #last = ''

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Resolves when the router serves a table that was made at or after this call. Rejects only when the signal aborts. */
  publish(): Promise<void> {
    if (this.#running === null) {
      this.#running = this.#send().finally(() => {
        this.#running = null
      })
      return this.#running
    }
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = null
        return this.publish()
      })
    return this.#next
  }

  /** Publishes again where the router lost the table, for example because it was started anew on an empty folder. */
  async verify(): Promise<void> {
    const served = await this.#options.traffic.current()
    if ((served?.revision ?? 0) === this.#revision && this.#revision > 0) return
    this.#last = ''
    await this.publish()
  }

  async #send(): Promise<void> {
    const { traffic, content, clock, log, signal } = this.#options
    for (let failures = 0; ; failures++) {
      signal.throwIfAborted()
      try {
        const { callers, ...table } = content()
        const text = JSON.stringify([table, callers])
        if (text === this.#last) return
        if (this.#last === '')
          this.#revision = Math.max(this.#revision, (await traffic.current())?.revision ?? 0)
        await traffic.publish({ revision: this.#revision + 1, ...table }, callers)
        this.#revision += 1
        this.#last = text
        return
      } catch (error) {
        if (failures === 0)
          log.warn({ error: String(error) }, 'router does not take the table, trying again')
        this.#last = ''
        await clock.sleep(RETRY_MS, signal)
      }
    }
  }
}
