/** Every bound of the data plane; each can be lowered or raised on its own. Bytes and milliseconds. */
export interface RouterLimits {
  readonly requestLineBytes: number
  readonly headBytes: number
  readonly headerFields: number
  /** From the first byte of a head (or the accept) to its end. */
  readonly headTimeoutMs: number
  /** Between two requests on one client connection. */
  readonly idleTimeoutMs: number
  /** Without any progress of a request body or of a response that the client does not read. */
  readonly stallTimeoutMs: number
  readonly connectTimeoutMs: number
  /** From the last byte of the request to the first byte of the response. */
  readonly responseTimeoutMs: number
  /** Unused upstream connections live shorter than the 5 s keep-alive of common servers. */
  readonly upstreamIdleMs: number
  /** The same for requests that must not be sent twice. */
  readonly upstreamIdleUnsafeMs: number
  readonly idlePerTarget: number
  readonly connections: number
  readonly connectionsPerSource: number
  readonly heldPerService: number
  /** A target that refused a connection gets no new request for this long, unless there is no other. */
  readonly asideMs: number
  /** How long `close` lets requests in flight finish. */
  readonly shutdownMs: number
}

export const DEFAULT_LIMITS: RouterLimits = Object.freeze({
  requestLineBytes: 8192,
  headBytes: 16_384,
  headerFields: 100,
  headTimeoutMs: 10_000,
  idleTimeoutMs: 65_000,
  stallTimeoutMs: 60_000,
  connectTimeoutMs: 3000,
  responseTimeoutMs: 100_000,
  upstreamIdleMs: 3500,
  upstreamIdleUnsafeMs: 1000,
  idlePerTarget: 128,
  connections: 16_384,
  connectionsPerSource: 4096,
  heldPerService: 100,
  asideMs: 1000,
  shutdownMs: 30_000,
})
