import type { Socket } from 'node:net'
import type { Address } from '../model/instance.ts'
import { BodyReader } from './body-reader.ts'
import type { DataSink } from './chunked-decoder.ts'
import { clientResponse, problemResponse } from './client-response.ts'
import type { Cut, Downstream, RequestOrigin } from './downstream.ts'
import type { Exchange } from './exchange.ts'
import { HeadScanner } from './head-scanner.ts'
import type { RouterLimits } from './limits.ts'
import { Outbox } from './outbox.ts'
import { resolveOutside } from './outside.ts'
import { openPassage } from './passage.ts'
import type { Plane } from './plane.ts'
import type { Problem } from './problem.ts'
import { isInternal } from './proxy-target.ts'
import { parseRequestHead, type RequestHead } from './request-head.ts'
import { CHUNKED, UNTIL_CLOSE, type ResponseHead } from './response-head.ts'
import { Tunnel } from './tunnel.ts'
import type { UpstreamConnection } from './upstream-connection.ts'

export interface ClientContext {
  readonly plane: Plane
  readonly limits: RouterLimits
  readonly now: () => number
  /** True once the router shuts down: every response is the last of its connection. */
  readonly closing: () => boolean
  /** Called once, when the socket is closed. */
  readonly closed: (connection: ClientConnection) => void
}

type Phase = 'head' | 'exchange' | 'lingering' | 'tunnel'

const NOTHING = Buffer.alloc(0)
const CONNECTED = 'HTTP/1.1 200 Connection established\r\n\r\n'

/** One HTTP/1.1 connection of a client: requests are served one after the other, in order, also where they are pipelined. */
export class ClientConnection implements Downstream, DataSink {
  deadline: number
  readonly #socket: Socket
  readonly #origin: RequestOrigin
  readonly #context: ClientContext
  readonly #out: Outbox
  readonly #scanner: HeadScanner
  readonly #body = new BodyReader()
  #phase: Phase = 'head'
  #input: Buffer = NOTHING
  #at = 0
  #pumping = false
  #request: RequestHead | null = null
  #exchange: Exchange | null = null
  #bodySent = true
  #last = false
  #chunked = false

  constructor(socket: Socket, origin: RequestOrigin, context: ClientContext) {
    this.#socket = socket
    this.#origin = origin
    this.#context = context
    this.#out = new Outbox(socket)
    this.#scanner = new HeadScanner(context.limits, true)
    this.deadline = context.now() + context.limits.headTimeoutMs
    this.#listen()
  }

  /** Waiting for a request of which nothing has come. */
  get idle(): boolean {
    return this.#phase === 'head' && this.#input.length === 0
  }

  /** Its deadline passed. */
  expire(): void {
    const { limits, now } = this.#context
    if (this.#phase === 'head' && this.#scanner.begun) this.#refuse('request-timeout')
    else if (this.#phase === 'exchange' && !this.#stalled()) {
      this.deadline = now() + limits.stallTimeoutMs
    } else this.#socket.destroy()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  bodyWanted(): void {
    this.#pump()
  }

  informational(head: ResponseHead): void {
    if (this.#request?.http10 === true) return
    this.#out.text(`HTTP/1.1 ${head.status} ${head.reason}\r\n${head.lines}\r\n`)
    this.#out.flush()
  }

  respond(head: ResponseHead): void {
    const http10 = this.#request?.http10 === true
    const endless = head.body === CHUNKED || head.body === UNTIL_CLOSE
    this.#chunked = endless && !http10
    this.#last ||= this.#context.closing() || (endless && http10)
    this.#out.text(clientResponse(head, this.#chunked, this.#last))
  }

  bodyData(bytes: Buffer, from: number, to: number): void {
    this.#out.data(bytes, from, to, this.#chunked)
  }

  flush(): boolean {
    const open = this.#out.flush()
    if (!open) this.deadline = this.#context.now() + this.#context.limits.stallTimeoutMs
    return open
  }

  finish(trailers: string): void {
    if (this.#chunked) this.#out.text(`0\r\n${trailers}\r\n`)
    this.#exchange = null
    this.#out.flush()
    this.#next()
  }

  fail(problem: Problem): void {
    this.#exchange = null
    this.#last ||= this.#context.closing()
    const close = this.#last || !this.#bodySent
    this.#out.text(problemResponse(problem, this.#request, close))
    this.#out.flush()
    this.#next()
  }

  abort(): void {
    this.#exchange = null
    // Chunked and counted bodies tell the client by themselves that something is missing; one that ends with the connection needs a reset.
    const endless = this.#request?.http10 === true && this.#origin.scheme === 'http'
    if (endless) this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }

  upgrade(head: ResponseHead, upstream: UpstreamConnection, rest: Buffer, done: () => void): Cut {
    const socket = this.#socket
    this.#phase = 'tunnel'
    this.deadline = Infinity
    this.#out.text(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${head.upgrade}\r\n${head.lines}\r\n`,
    )
    this.#out.flush()
    for (const event of ['data', 'drain', 'end']) socket.removeAllListeners(event)
    const websocket = head.upgrade === 'websocket'
    const tunnel = new Tunnel({ client: socket, upstream, websocket, done })
    const clientRest = this.#input.subarray(this.#at)
    this.#input = NOTHING
    tunnel.open(clientRest, rest)
    return tunnel.cut
  }

  #listen(): void {
    const socket = this.#socket
    socket.on('data', (chunk: Buffer) => this.#feed(chunk))
    socket.on('drain', () => {
      this.deadline = this.#context.now() + this.#context.limits.stallTimeoutMs
      this.#exchange?.clientDrained()
    })
    socket.on('end', () => this.#ended())
    // 'close' follows.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (this.#phase !== 'tunnel') this.#exchange?.cancel()
      this.#exchange = null
      this.#context.closed(this)
    })
  }

  // A client that half-closes while it waits cannot be told from one that left; like other proxies we take it as the latter.
  #ended(): void {
    if (this.#phase === 'lingering' || this.#exchange === null) this.#socket.end()
    else this.#socket.destroy()
  }

  #stalled(): boolean {
    if (this.#socket.writableNeedDrain) return true
    return !this.#bodySent && this.#exchange?.takesBody === true && !this.#socket.isPaused()
  }

  #feed(chunk: Buffer): void {
    if (this.#phase === 'lingering') return
    this.#input =
      this.#at >= this.#input.length
        ? chunk
        : Buffer.concat([this.#input.subarray(this.#at), chunk])
    this.#at = 0
    this.#pump()
  }

  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    let more = true
    while (more) more = this.#phase === 'head' ? this.#takeHead() : this.#takeBody()
    this.#pumping = false
  }

  // Both return true where there may be more to do with what is there.
  #takeHead(): boolean {
    const { limits, now } = this.#context
    const end = this.#input.length
    if (this.#at >= end) return this.#emptied()
    if (!this.#scanner.begun) this.deadline = now() + limits.headTimeoutMs
    const scan = this.#scanner.scan(this.#input, this.#at, end)
    if (scan === 'more') return false
    if (scan !== 'whole') return this.#refuse(scan)
    const from = this.#at + this.#scanner.start
    this.#at += this.#scanner.length
    this.#scanner.reset()
    const request = parseRequestHead(
      this.#input.toString('latin1', from, this.#at),
      this.#origin.door,
    )
    if (typeof request === 'string') return this.#refuse(request)
    this.#begin(request)
    return true
  }

  #begin(request: RequestHead): void {
    this.#request = request
    this.#phase = 'exchange'
    this.#last = request.close
    this.#chunked = false
    this.#body.begin(request.length)
    this.#bodySent = request.length === 0
    this.deadline = this.#context.now() + this.#context.limits.stallTimeoutMs
    if (request.outside !== null) this.#bringOutside(request, request.outside)
    else this.#take(this.#context.plane.dispatch(request, this.#origin, this))
  }

  #take(exchange: Exchange | null): void {
    if (exchange === null) return
    this.#exchange = exchange
    exchange.start()
  }

  #bringOutside(request: RequestHead, outside: Address): void {
    const { plane } = this.#context
    if (plane.caller(this.#origin.caller ?? '') === null) {
      this.fail('caller-unknown')
    } else if (isInternal(outside.host)) {
      // Who connects to an internal name speaks HTTP with us from here on, as without a proxy.
      this.#last = false
      this.#out.text(CONNECTED)
      this.#out.flush()
      this.#next()
    } else {
      this.#socket.pause()
      void resolveOutside(outside).then((found) => {
        if (this.#socket.destroyed) return
        this.#socket.resume()
        if (typeof found === 'string') this.fail(found)
        else if (request.method === 'CONNECT') this.#connectOutside(found)
        else {
          this.#take(plane.forward(request, this.#origin, this, found))
          this.#pump()
        }
      })
    }
  }

  #connectOutside(address: Address): void {
    const { limits } = this.#context
    const socket = this.#socket
    this.#phase = 'tunnel'
    this.deadline = Infinity
    for (const event of ['data', 'drain', 'end']) socket.removeAllListeners(event)
    const rest = this.#input.subarray(this.#at)
    this.#emptied()
    openPassage({ client: socket, rest, address, connectMs: limits.connectTimeoutMs })
  }

  #takeBody(): boolean {
    const exchange = this.#exchange
    if (this.#phase !== 'exchange' || exchange === null) return false
    if (this.#bodySent || !exchange.takesBody) {
      // Pipelined bytes, or a body that nobody takes yet, wait in the kernel.
      if (this.#at < this.#input.length) this.#socket.pause()
      return false
    }
    this.#at = this.#body.consume(this.#input, this.#at, this.#input.length, {
      bodyData: (bytes, from, to) => exchange.sendBody(bytes, from, to),
    })
    if (this.#at < 0) {
      this.#at = this.#input.length
      exchange.cancel()
      this.#exchange = null
      return this.#refuse('bad-request')
    }
    if (this.#body.done) {
      this.#bodySent = true
      exchange.endBody(this.#body.trailers)
    }
    this.deadline = this.#context.now() + this.#context.limits.stallTimeoutMs
    if (!exchange.flushBody() && !this.#bodySent) this.#socket.pause()
    else if (this.#socket.isPaused()) this.#socket.resume()
    return this.#bodySent
  }

  #emptied(): boolean {
    this.#input = NOTHING
    this.#at = 0
    return false
  }

  #next(): void {
    if (this.#last || !this.#bodySent) {
      this.#linger()
      return
    }
    this.#phase = 'head'
    this.#request = null
    this.deadline = this.#context.now() + this.#context.limits.idleTimeoutMs
    if (this.#socket.isPaused()) this.#socket.resume()
    this.#pump()
  }

  #refuse(problem: Problem): false {
    this.#out.text(problemResponse(problem, null, true))
    this.#out.flush()
    this.#linger()
    return false
  }

  // Closing with unread bytes would reset the connection and could take our answer with it: read and forget for a moment (RFC 9112 9.6).
  #linger(): void {
    this.#phase = 'lingering'
    this.#request = null
    this.#emptied()
    this.deadline = this.#context.now() + 2000
    this.#socket.end()
    this.#socket.resume()
  }
}
