import { backoffMs } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { Address } from '../model/instance.ts'
import type { Caller } from '../model/traffic.ts'
import type { Listener } from './listener.ts'
import type { InheritedSockets } from './listening-sockets.ts'

export interface DoorsOptions {
  readonly listener: (address: Address, door: string) => Listener
  readonly inherited: InheritedSockets
  readonly clock: Clock
  readonly log: Log
  /** Aborts when no door is opened any more. */
  readonly signal: AbortSignal
}

const DOOR = /^(127\.0\.0\.1):(\d{1,5})$/

/**
 * The loopback listeners of callers that share the host's network: each has one of its own, an HTTP proxy, and by that is told apart. They follow from the
 * table's callers, so that the next router opens the same ones.
 */
export class Doors {
  readonly #options: DoorsOptions
  readonly #open = new Map<string, Listener>()
  /** Closed for new connections, with requests that are not finished. */
  readonly #leaving = new Set<Listener>()

  constructor(options: DoorsOptions) {
    this.#options = options
  }

  get listeners(): readonly Listener[] {
    return [...this.#open.values(), ...this.#leaving]
  }

  /** Resolves when every caller's door is open, or was tried once: what cannot be bound is tried again. */
  async update(callers: readonly Caller[]): Promise<void> {
    const wanted = new Map(callers.flatMap(({ address }) => doorOf(address)))
    for (const [door, listener] of this.#open) {
      if (wanted.has(door)) continue
      this.#open.delete(door)
      this.#leaving.add(listener)
      listener.stopAccepting()
      listener.closeIdle()
    }
    for (const listener of this.#leaving) {
      if (listener.connections === 0) this.#leaving.delete(listener)
    }
    const missing = [...wanted].filter(([door]) => !this.#open.has(door))
    await Promise.all(missing.map(([door, address]) => this.#add(door, address)))
  }

  async #add(door: string, address: Address): Promise<void> {
    if (this.#options.signal.aborted) return
    const listener = this.#options.listener(address, door)
    this.#open.set(door, listener)
    const opened = await this.#listen(listener)
    if (!opened) void this.#retry(door, listener)
  }

  async #retry(door: string, listener: Listener): Promise<void> {
    const { clock, signal, log } = this.#options
    log.warn({ door }, 'an address for the calls of an instance cannot be bound yet')
    const wanted = (): boolean => this.#open.get(door) === listener && !signal.aborted
    for (let failures = 1; wanted(); failures++) {
      await clock
        .sleep(backoffMs(failures, { firstMs: 100, maxMs: 5000 }), signal)
        .catch(() => null)
      if (wanted() && (await this.#listen(listener))) return
    }
  }

  async #listen(listener: Listener): Promise<boolean> {
    try {
      await listener.listen(this.#options.inherited)
    } catch {
      return false
    }
    // Meanwhile the caller may have gone.
    if (!this.listeners.includes(listener) || this.#leaving.has(listener)) listener.stopAccepting()
    return true
  }
}

function doorOf(address: string): readonly (readonly [string, Address])[] {
  const [, host, port] = DOOR.exec(address) ?? []
  return host === undefined || port === undefined ? [] : [[address, { host, port: Number(port) }]]
}
