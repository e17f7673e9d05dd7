import type { Address, InstanceId } from '../model/instance.ts'
import type { Target } from '../model/traffic.ts'
import { TargetCounters } from './counters.ts'
import type { Cut } from './downstream.ts'
import type { RouterLimits } from './limits.ts'
import { UpstreamConnection, type UpstreamUser } from './upstream-connection.ts'

/** Something in flight to a target: a request or an upgraded connection. */
export interface Holder {
  readonly cut: Cut
}

export interface TargetContext {
  readonly limits: RouterLimits
  readonly buffer: Buffer
  readonly now: () => number
}

/** One instance as the router knows it, across tables: its connections and what is in flight. */
export class TargetState {
  readonly id: InstanceId
  address: Address
  weight: number
  /** False once no table names it any more. */
  listed = true
  asideUntil = 0
  readonly holders = new Set<Holder>()
  readonly counters = new TargetCounters()
  readonly #context: TargetContext
  readonly #connections = new Set<UpstreamConnection>()
  #idle: UpstreamConnection[] = []
  #waiters: (() => void)[] = []

  constructor(target: Target, context: TargetContext) {
    this.id = target.id
    this.address = target.address
    this.weight = target.weight
    this.#context = context
  }

  update(target: Target): void {
    if (target.address.host !== this.address.host || target.address.port !== this.address.port) {
      this.closeIdle()
      this.address = target.address
    }
    this.weight = target.weight
    this.listed = true
  }

  unlist(): void {
    this.listed = false
    this.closeIdle()
  }

  /** An idle connection that is younger than `idleMs`; null where there is none. */
  takeIdle(idleMs: number): UpstreamConnection | null {
    const now = this.#context.now()
    for (;;) {
      const connection = this.#idle.pop()
      if (connection === undefined) return null
      const limit = Math.min(idleMs, connection.keepAliveMs - 500)
      if (connection.usable && now - connection.idleSince < limit) return connection
      // Too old for this request, but maybe not for another: put it back, older ones lie below.
      if (connection.usable && now - connection.idleSince < this.#idleLimit(connection)) {
        this.#idle.push(connection)
        return null
      }
      connection.destroy()
    }
  }

  connect(user: UpstreamUser): UpstreamConnection {
    const { limits, buffer, now } = this.#context
    const connection = new UpstreamConnection(
      { address: this.address, limits, buffer, now, closed: (closed) => this.#forget(closed) },
      user,
    )
    this.#connections.add(connection)
    return connection
  }

  /** Keeps the connection for the next request where that is worth it, else closes it. */
  giveBack(connection: UpstreamConnection): void {
    const { limits, now } = this.#context
    const wanted = this.listed && connection.address === this.address
    if (wanted && connection.usable && this.#idle.length < limits.idlePerTarget) {
      connection.idleSince = now()
      connection.resume()
      this.#idle.push(connection)
    } else connection.destroy()
  }

  hold(holder: Holder): void {
    this.holders.add(holder)
  }

  release(holder: Holder): void {
    this.holders.delete(holder)
    if (this.holders.size > 0 || this.#waiters.length === 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }

  /** Resolves when nothing is in flight. */
  async idle(): Promise<void> {
    while (this.holders.size > 0) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  closeIdle(): void {
    const idle = this.#idle
    this.#idle = []
    for (const connection of idle) connection.destroy()
  }

  closeAll(): void {
    for (const connection of this.#connections) connection.destroy()
  }

  /** Closes what lies idle too long and expires what is late. */
  sweep(now: number): void {
    if (this.#idle.length > 0) {
      this.#idle = this.#idle.filter((connection) => {
        const keep = connection.usable && now - connection.idleSince < this.#idleLimit(connection)
        if (!keep) connection.destroy()
        return keep
      })
    }
    for (const connection of this.#connections) {
      if (connection.deadline <= now) connection.expire()
    }
  }

  // A server that announces its timeout gets half a second of margin for the request on its way.
  #idleLimit(connection: UpstreamConnection): number {
    return Math.min(this.#context.limits.upstreamIdleMs, connection.keepAliveMs - 500)
  }

  #forget(connection: UpstreamConnection): void {
    this.#connections.delete(connection)
    if (!connection.reused) return
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }
}
