import type { RequestHead } from './request-head.ts'
import type { ResponseHead } from './response-head.ts'
import type { Problem } from './problem.ts'
import type { UpstreamConnection } from './upstream-connection.ts'

/** The client's side of one exchange, whatever protocol the client speaks. Calls come in this order; after `finish`, `fail` or `abort` there are none. */
export interface Downstream {
  /** The upstream takes (more) body: pass on what waits and read on. */
  bodyWanted(): void
  /** 100 to 199 but 101. */
  informational(head: ResponseHead): void
  respond(head: ResponseHead): void
  /** Bytes are copied or written before it returns. */
  bodyData(bytes: Buffer, from: number, to: number): void
  /** End of one burst: send what was gathered. False: stop reading from upstream until `Exchange.clientDrained`. */
  flush(): boolean
  /** The whole response was given; `trailers` are field lines with CRLF. */
  finish(trailers: string): void
  /** Nothing was responded: answer with the router's own page. */
  fail(problem: Problem): void
  /** The response broke off: make sure that the client can tell. */
  abort(): void
  /** 101: from here on bytes go both ways. `rest` came from upstream behind the head. `done` is called once when both sides are closed; returns how to cut it. */
  upgrade(head: ResponseHead, upstream: UpstreamConnection, rest: Buffer, done: () => void): Cut
}

/** Ends something in flight now; where the protocol has a farewell, with it. */
export type Cut = () => void

/** What the router knows of a request beside its head. */
export interface RequestOrigin {
  /** Address of the client without IPv4-in-IPv6 prefix. */
  readonly remote: string
  readonly scheme: 'http' | 'https'
  /** As whom the table knows the caller of internal names; null where it came by a public listener. */
  readonly caller: string | null
  /** True where it came by a door (doors.ts): targets outside are brought there too. */
  readonly door: boolean
}

export interface RequestLogEntry {
  readonly service: string | null
  readonly method: string
  readonly host: string
  readonly target: RequestHead['target']
  readonly status: number
  readonly durationMs: number
  readonly remote: string
}
