import type { Address, InstanceId } from './instance.ts'
import type { AppRef, ProcessName } from './names.ts'

/** The whole routing table; replaced as one, so readers never see half a change. */
export interface RouteTable {
  /** Grows with every change; an older table never replaces a newer one. */
  readonly revision: number
  readonly services: readonly Service[]
  readonly routes: readonly Route[]
}

/** One process of one app in one environment as a set of targets. */
export interface Service {
  /** `app/environment/process`. */
  readonly key: string
  readonly ref: AppRef
  readonly process: ProcessName
  readonly targets: readonly Target[]
  /**
   * True while targets are expected although there are none (starting, recreate): the router holds requests for up to
   * `holdMs` instead of answering 503.
   */
  readonly expected: boolean
  readonly holdMs: number
}

export interface Target {
  readonly id: InstanceId
  readonly address: Address
  /** Relative share; 0 = no new requests. */
  readonly weight: number
}

export interface Route {
  /** Lower-case host without port; `*.example.com` matches one label. Exact wins over wildcard. */
  readonly host: string
  /** Path prefix on segment borders; longest wins. */
  readonly path: string
  readonly service: string
}

/** Who calls `http://<process>.<app>.internal`. */
export interface Caller {
  /**
   * Source address of an instance that has one of its own; or `127.0.0.1:<port>`, its door: the router listens there for this one caller, as a proxy,
   * from the publication on that names it.
   */
  readonly address: string
  readonly ref: AppRef
}

/** Upper bounds of the duration buckets in milliseconds; the last bucket has none. */
export const DURATION_BOUNDS: readonly number[] = Object.freeze([
  1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000,
])

/** Requests that ended, counted since their counter began. */
export interface ServedCounts {
  readonly requests: number
  /** Of these: answers of 500 and above, refused and broken connections. A client that left first is neither. */
  readonly failures: number
  /** How many took at most `DURATION_BOUNDS[i]` ms and more than the bound before; one more bucket for the rest. */
  readonly durations: readonly number[]
}

export interface TargetLoad {
  readonly id: InstanceId
  /** Requests and upgraded connections that the router still holds to this target. */
  readonly inflight: number
  /** Since the router knows the target. */
  readonly served: ServedCounts
}

/** The router as the machine engine sees it. The router is another process; every call can fail with ROUTER_UNAVAILABLE and is safe to repeat. */
export interface Traffic {
  /** Resolves when the router serves the table and has stored it for its own restart. */
  publish(table: RouteTable, callers: readonly Caller[]): Promise<void>
  /** What the router serves now; null where it never had a table. */
  current(): Promise<RouteTable | null>
  /**
   * Waits until the target, which must no longer be in the table, has nothing in flight or `deadlineMs` passed; then closes what is left
   * (WebSockets with 1001). Returns how many were cut.
   */
  drain(id: InstanceId, deadlineMs: number): Promise<{ readonly cut: number }>
  load(): Promise<readonly TargetLoad[]>
}
