import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Address, InstanceId } from '../model/instance.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseProcessName,
  type AppRef,
} from '../model/names.ts'
import type { Caller, RouteTable, Service, TargetLoad } from '../model/traffic.ts'
import type { CountersView } from './counters.ts'
import type { Downstream, RequestLogEntry, RequestOrigin } from './downstream.ts'
import { Exchange, type ExchangeContext } from './exchange.ts'
import type { RouterLimits } from './limits.ts'
import type { RequestHead } from './request-head.ts'
import { internalService, Routes } from './routes.ts'
import { ServiceState } from './service-state.ts'
import { TargetState, type TargetContext } from './target.ts'

export interface PlaneOptions {
  readonly limits: RouterLimits
  readonly clock: Clock
  /** Milliseconds; for deadlines and durations. */
  readonly now: () => number
  readonly log: Log
  /** 0 <= x < 1. */
  readonly random: () => number
  readonly requestId: () => string
  readonly onRequest?: ((entry: RequestLogEntry) => void) | undefined
}

export interface Published {
  readonly table: RouteTable
  readonly callers: readonly Caller[]
}

const READ_BUFFER = 65_536
/** What is not in any table: nothing waits for it, and nothing is expected of it. */
const OUTSIDE: Service = {
  key: 'outside',
  ref: { app: parseAppName('outside'), environment: parseEnvironmentName('outside') },
  process: parseProcessName('outside'),
  targets: [],
  expected: false,
  holdMs: 0,
}
const NO_TABLE: RouteTable = { revision: -1, services: [], routes: [] }

/** The data plane without its sockets: the table it serves, the targets it knows, what is in flight. */
export class Plane {
  readonly #options: PlaneOptions
  readonly #targetContext: TargetContext
  readonly #exchangeContext: ExchangeContext
  readonly #services = new Map<string, ServiceState>()
  readonly #targets = new Map<InstanceId, TargetState>()
  readonly #exchanges = new Set<Exchange>()
  #published: Published | null = null
  #routes = new Routes(NO_TABLE, [])
  #waiters: (() => void)[] = []
  /** Of one request each. */
  readonly #outside = new Set<TargetState>()

  constructor(options: PlaneOptions) {
    this.#options = options
    const { limits, now } = options
    this.#targetContext = { limits, now, buffer: Buffer.allocUnsafeSlow(READ_BUFFER) }
    this.#exchangeContext = {
      limits,
      now,
      requestId: options.requestId,
      over: (exchange, status, durationMs) => this.#over(exchange, status, durationMs),
    }
  }

  get published(): Published | null {
    return this.#published
  }

  get inflight(): number {
    return this.#exchanges.size
  }

  /** Serves the table from now on. @throws FairwayError CONFLICT where a newer one is served already */
  publish(published: Published): void {
    this.refuseOlder(published.table.revision)
    this.#published = published
    this.#routes = new Routes(published.table, published.callers)
    const keys = new Set(published.table.services.map((service) => service.key))
    const listed = new Set(published.table.services.flatMap((s) => s.targets.map(({ id }) => id)))
    for (const [id, target] of this.#targets) {
      if (listed.has(id)) continue
      target.unlist()
      if (target.holders.size === 0) this.#targets.delete(id)
    }
    for (const service of published.table.services) this.#updateService(service)
    for (const [key, state] of this.#services) {
      if (keys.has(key)) continue
      state.remove()
      this.#services.delete(key)
    }
  }

  /** @throws FairwayError CONFLICT */
  refuseOlder(revision: number): void {
    const current = this.#published?.table.revision ?? -1
    if (revision >= current) return
    throw new FairwayError(
      'CONFLICT',
      `routing table ${revision} is older than ${current}, which the router serves`,
    )
  }

  /** Finds the service and starts the exchange; null where the router answered by itself. */
  dispatch(request: RequestHead, origin: RequestOrigin, downstream: Downstream): Exchange | null {
    const key = this.#serviceKey(request, origin)
    const service = key === null || key === 'unknown' ? undefined : this.#services.get(key)
    if (service === undefined) {
      this.#logRefused(request, origin, key === 'unknown' ? 403 : 404)
      downstream.fail(key === 'unknown' ? 'caller-unknown' : 'no-route')
      return null
    }
    return this.#exchange(request, origin, service, downstream)
  }

  /** The same for a request of a known caller that leads outside: to a target of its own, which nothing else uses. */
  forward(
    request: RequestHead,
    origin: RequestOrigin,
    downstream: Downstream,
    address: Address,
  ): Exchange {
    const target = new TargetState({ id: OUTSIDE.key, address, weight: 1 }, this.#targetContext)
    target.unlist()
    this.#outside.add(target)
    const service = new ServiceState(OUTSIDE, 0, this.#options.random)
    service.update(OUTSIDE, [target])
    return this.#exchange(request, origin, service, downstream)
  }

  /** True where some route names the host. */
  serves(host: string): boolean {
    return this.#routes.serves(host)
  }

  caller(address: string): AppRef | null {
    return this.#routes.caller(address)
  }

  /** True where an internal name means a service in the caller's environment. */
  knows(host: string, caller: AppRef): boolean {
    const key = internalService(host, caller)
    return key !== null && this.#services.has(key)
  }

  /** As in the Traffic port. @throws FairwayError CONFLICT where the table still names the target */
  async drain(id: InstanceId, deadlineMs: number): Promise<{ readonly cut: number }> {
    const target = this.#targets.get(id)
    if (target === undefined) return { cut: 0 }
    const listed = (): boolean => target.listed
    if (listed()) {
      throw new FairwayError('CONFLICT', `instance ${id} is still in the routing table`)
    }
    target.closeIdle()
    const late = new AbortController()
    const deadline = this.#options.clock.sleep(deadlineMs, late.signal).catch(() => undefined)
    await Promise.race([target.idle(), deadline])
    late.abort()
    // Back in the table meanwhile: what is in flight belongs to its new life.
    if (listed()) return { cut: 0 }
    const left = [...target.holders]
    for (const holder of left) holder.cut()
    if (left.length > 0) await target.idle()
    if (!listed()) this.#targets.delete(id)
    return { cut: left.length }
  }

  load(): TargetLoad[] {
    return [...this.#targets.values()].map(({ id, holders, counters }) => ({
      id,
      inflight: holders.size,
      served: counters.view(),
    }))
  }

  stats(): Record<string, CountersView> {
    return Object.fromEntries(
      [...this.#services].map(([key, { counters }]) => [key, counters.view()]),
    )
  }

  sweep(now: number): void {
    for (const service of this.#services.values()) service.sweep(now)
    for (const [id, target] of this.#targets) {
      target.sweep(now)
      if (!target.listed && target.holders.size === 0) this.#targets.delete(id)
    }
    for (const target of this.#outside) {
      target.sweep(now)
      if (target.holders.size === 0) this.#outside.delete(target)
    }
  }

  /** After a pause in which servers may have closed what lies idle, none of it is used again. */
  closeIdle(): void {
    for (const target of this.#targets.values()) target.closeIdle()
  }

  /** Resolves when nothing is in flight any more. */
  async idle(): Promise<void> {
    while (this.#exchanges.size > 0) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  /** Cuts everything in flight; returns how much that was. */
  cutAll(): number {
    const left = [...this.#exchanges]
    for (const exchange of left) exchange.cut()
    return left.length
  }

  close(): void {
    for (const target of [...this.#targets.values(), ...this.#outside]) target.closeAll()
  }

  #updateService(service: Service): void {
    const targets = service.targets.map((target) => {
      const state = this.#targets.get(target.id) ?? new TargetState(target, this.#targetContext)
      state.update(target)
      this.#targets.set(target.id, state)
      return state
    })
    const { limits, random } = this.#options
    const state =
      this.#services.get(service.key) ?? new ServiceState(service, limits.heldPerService, random)
    this.#services.set(service.key, state)
    state.update(service, targets)
  }

  #exchange(
    request: RequestHead,
    origin: RequestOrigin,
    service: ServiceState,
    downstream: Downstream,
  ): Exchange {
    const exchange = new Exchange(request, origin, service, downstream, this.#exchangeContext)
    this.#exchanges.add(exchange)
    return exchange
  }

  // The key of a service, 'unknown' for a caller that is none of ours, null for no route.
  #serviceKey(request: RequestHead, origin: RequestOrigin): string | null {
    if (origin.caller === null) return this.#routes.find(request.host, request.target)
    const caller = this.#routes.caller(origin.caller)
    return caller === null ? 'unknown' : internalService(request.host, caller)
  }

  #over(exchange: Exchange, status: number, durationMs: number): void {
    this.#exchanges.delete(exchange)
    if (this.#exchanges.size === 0 && this.#waiters.length > 0) {
      const waiters = this.#waiters
      this.#waiters = []
      for (const wake of waiters) wake()
    }
    const { onRequest } = this.#options
    if (onRequest === undefined) return
    const { method, host, target } = exchange.request
    const { remote } = exchange.origin
    onRequest({ service: exchange.service.key, method, host, target, status, durationMs, remote })
  }

  #logRefused(request: RequestHead, origin: RequestOrigin, status: number): void {
    const { method, host, target } = request
    const { remote } = origin
    this.#options.onRequest?.({
      service: null,
      method,
      host,
      target,
      status,
      durationMs: 0,
      remote,
    })
  }
}
