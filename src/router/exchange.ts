import type { Downstream, RequestOrigin, Cut } from './downstream.ts'
import type { RouterLimits } from './limits.ts'
import type { Problem } from './problem.ts'
import { isIdempotent, type RequestHead } from './request-head.ts'
import type { ResponseHead } from './response-head.ts'
import type { ServiceState } from './service-state.ts'
import type { Holder, TargetState } from './target.ts'
import { upstreamRequest } from './upstream-request.ts'
import type { UpstreamConnection, UpstreamFailure, UpstreamUser } from './upstream-connection.ts'

const MAX_RETRIES = 2

export interface ExchangeContext {
  readonly limits: RouterLimits
  readonly now: () => number
  readonly requestId: () => string
  /** Called once, when the exchange is over; status 0 = the client left first. */
  readonly over: (exchange: Exchange, status: number, durationMs: number) => void
}

type Phase = 'waiting' | 'sent' | 'responding' | 'tunnel' | 'over'

/** One request on its way to a target and its response on the way back. */
export class Exchange implements UpstreamUser, Holder {
  readonly request: RequestHead
  readonly origin: RequestOrigin
  readonly service: ServiceState
  /** Clock time at which a held request is given up. */
  heldUntil = Infinity
  readonly #downstream: Downstream
  readonly #context: ExchangeContext
  readonly #startedAt: number
  readonly #tried: TargetState[] = []
  #target: TargetState | null = null
  /** The last target that was tried: what comes of the request is counted there. */
  #blamed: TargetState | null = null
  #connection: UpstreamConnection | null = null
  #phase: Phase = 'waiting'
  #retries = 0
  #fresh = false
  #bodyDone: boolean
  #status = 0
  #cutTunnel: Cut | null = null

  constructor(
    request: RequestHead,
    origin: RequestOrigin,
    service: ServiceState,
    downstream: Downstream,
    context: ExchangeContext,
  ) {
    this.request = request
    this.origin = origin
    this.service = service
    this.#downstream = downstream
    this.#context = context
    this.#bodyDone = request.length === 0
    this.#startedAt = context.now()
  }

  /** True while `sendBody` may be called. */
  get takesBody(): boolean {
    return this.#phase === 'sent' || this.#phase === 'responding'
  }

  start(): void {
    this.service.counters.started()
    this.#attempt()
  }

  /** A held request tries again: the service got a target, or its time is up. */
  release(): void {
    this.heldUntil = Infinity
    this.#attemptAgain()
  }

  giveUp(): void {
    this.heldUntil = Infinity
    this.#refuse('no-target')
  }

  /** The bytes must not change afterwards. */
  sendBody(bytes: Buffer, from: number, to: number): void {
    const out = this.#connection?.out
    if (this.request.length < 0) out?.data(bytes, from, to, true)
    else out?.owned(bytes.subarray(from, to))
  }

  /** The request body is whole; `trailers` are field lines with CRLF. */
  endBody(trailers: string): void {
    this.#bodyDone = true
    if (this.request.length < 0) this.#connection?.out.text(`0\r\n${trailers}\r\n`)
  }

  /** Sends what was gathered; false: stop reading from the client until `bodyWanted`. */
  flushBody(): boolean {
    const connection = this.#connection
    if (connection === null) return false
    connection.progressed()
    return connection.out.flush()
  }

  clientDrained(): void {
    this.#connection?.resume()
  }

  /** The client is gone. */
  cancel(): void {
    if (this.#phase === 'over') return
    if (this.heldUntil !== Infinity) this.service.forget(this)
    this.#connection?.destroy()
    this.#end(0)
  }

  readonly cut = (): void => {
    if (this.#phase === 'tunnel') this.#cutTunnel?.()
    else {
      if (this.heldUntil !== Infinity) this.service.forget(this)
      this.#connection?.destroy()
      this.#breakOff('drained')
    }
  }

  connected(): void {
    const connection = this.#connection
    if (connection === null) return
    this.#attach(connection)
    this.#downstream.bodyWanted()
  }

  writable(): void {
    if (this.takesBody) this.#downstream.bodyWanted()
  }

  informational(head: ResponseHead): void {
    this.#downstream.informational(head)
  }

  responseHead(head: ResponseHead): void {
    this.#phase = 'responding'
    this.#status = head.status
    this.#downstream.respond(head)
  }

  bodyData(bytes: Buffer, from: number, to: number): void {
    this.#downstream.bodyData(bytes, from, to)
  }

  flush(): boolean {
    return this.#downstream.flush()
  }

  responseEnd(trailers: string, clean: boolean): void {
    const connection = this.#connection
    if (connection !== null) {
      // A target that answered before it read the whole request is somewhere in the middle of it.
      if (clean && this.#bodyDone) this.#target?.giveBack(connection)
      else connection.destroy()
    }
    this.#end(this.#status)
    this.#downstream.finish(trailers)
  }

  switched(head: ResponseHead, rest: Buffer): void {
    const connection = this.#connection
    if (connection === null) return
    this.#phase = 'tunnel'
    this.#status = 101
    this.#cutTunnel = this.#downstream.upgrade(head, connection, rest, () => this.#end(101))
  }

  failed(failure: UpstreamFailure, answered: boolean): void {
    const target = this.#target
    const reused = this.#connection?.reused === true
    this.#connection = null
    if (target === null || this.#phase === 'over') return
    if (failure === 'refused') {
      target.asideUntil = this.#context.now() + this.#context.limits.asideMs
      this.#retry(target, 'upstream-refused')
    } else if (failure === 'closed' && reused && !answered && this.#repeatable()) {
      // The target may be fine: it closed an idle connection while the request was on its way.
      this.#fresh = true
      this.#retry(target, 'upstream-closed')
    } else {
      this.#breakOff(PROBLEM_OF[failure])
    }
  }

  #attempt(): void {
    const { now } = this.#context
    const target = this.service.pick(this.#tried, now())
    if (target === null) {
      if (this.#tried.length > 0) this.#refuse('upstream-refused')
      else if (!this.service.hold(this, now())) this.#refuse('no-target')
      return
    }
    this.#target = target
    this.#blamed = target
    target.hold(this)
    const idle = this.#fresh ? null : target.takeIdle(this.#idleMs())
    if (idle === null) this.#connection = target.connect(this)
    else {
      this.#connection = idle
      this.#attach(idle)
    }
  }

  #attach(connection: UpstreamConnection): void {
    this.#phase = 'sent'
    const { request } = this
    const text = upstreamRequest(request, this.origin, this.#context.requestId)
    connection.begin(this, text, request.method, request.upgrade !== '')
    // With a body, the head leaves with the first bytes of it: `flushBody` always follows.
    if (request.length === 0) connection.out.flush()
  }

  #retry(target: TargetState, problem: Problem): void {
    this.#leave()
    this.#phase = 'waiting'
    if (this.#retries >= MAX_RETRIES) {
      this.#refuse(problem)
      return
    }
    this.#retries++
    this.service.counters.retried()
    if (problem === 'upstream-refused' || this.service.hasOther(target)) this.#tried.push(target)
    this.#attemptAgain()
  }

  // Nobody waits for this attempt to come back: where it found a connection at once, the client's side has to be told.
  #attemptAgain(): void {
    this.#attempt()
    if (this.takesBody) this.#downstream.bodyWanted()
  }

  #repeatable(): boolean {
    return this.request.length === 0 && isIdempotent(this.request.method)
  }

  #idleMs(): number {
    const { upstreamIdleMs, upstreamIdleUnsafeMs } = this.#context.limits
    return this.#repeatable() ? upstreamIdleMs : upstreamIdleUnsafeMs
  }

  #breakOff(problem: Problem): void {
    if (this.#phase !== 'responding') this.#refuse(problem)
    else {
      this.#end(this.#status)
      this.#downstream.abort()
    }
  }

  #refuse(problem: Problem): void {
    if (this.#phase === 'over') return
    this.#end(problem === 'upstream-timeout' ? 504 : problem.startsWith('upstream') ? 502 : 503)
    this.#downstream.fail(problem)
  }

  #end(status: number): void {
    if (this.#phase === 'over') return
    this.#phase = 'over'
    this.#connection = null
    this.#leave()
    const duration = this.#context.now() - this.#startedAt
    this.service.counters.finished(status, duration)
    this.#blamed?.counters.finished(status, duration)
    this.#context.over(this, status, duration)
  }

  #leave(): void {
    const target = this.#target
    this.#target = null
    target?.release(this)
  }
}

const PROBLEM_OF: Readonly<Record<UpstreamFailure, Problem>> = {
  refused: 'upstream-refused',
  invalid: 'upstream-invalid',
  closed: 'upstream-closed',
  timeout: 'upstream-timeout',
}
