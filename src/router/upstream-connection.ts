import { connect, type Socket } from 'node:net'
import type { Address } from '../model/instance.ts'
import { BodyReader } from './body-reader.ts'
import type { DataSink } from './chunked-decoder.ts'
import { HeadScanner } from './head-scanner.ts'
import type { RouterLimits } from './limits.ts'
import { Outbox } from './outbox.ts'
import { parseResponseHead, type ResponseHead } from './response-head.ts'

export type UpstreamFailure = 'refused' | 'invalid' | 'closed' | 'timeout'

/** A program that sends more of them than any needs would send them for ever. */
const MOST_INTERIM = 16

/** One exchange as its upstream connection sees it. */
export interface UpstreamUser extends DataSink {
  connected(): void
  informational(head: ResponseHead): void
  switched(head: ResponseHead, rest: Buffer): void
  responseHead(head: ResponseHead): void
  /** `clean`: nothing but the response came, and the connection may serve another request. */
  responseEnd(trailers: string, clean: boolean): void
  flush(): boolean
  writable(): void
  /** No more calls follow. `answered`: some byte of a response had come. */
  failed(failure: UpstreamFailure, answered: boolean): void
}

/** Where the bytes go after 101. */
export interface TunnelEnd {
  fromUpstream(bytes: Buffer, from: number, to: number): boolean
  upstreamDrained(): void
  upstreamEnded(): void
  upstreamClosed(): void
}

export interface UpstreamOptions {
  readonly address: Address
  readonly limits: RouterLimits
  /** Read buffer shared by all connections: every read is used up before the next one happens. */
  readonly buffer: Buffer
  readonly now: () => number
  /** Called once when the socket is closed. */
  readonly closed: (connection: UpstreamConnection) => void
}

type Phase = 'connecting' | 'idle' | 'head' | 'body' | 'tunnel' | 'closed'

const NOTHING = Buffer.alloc(0)

/** One HTTP/1.1 connection to a target: sends requests one after the other and parses the answers. */
export class UpstreamConnection {
  readonly socket: Socket
  readonly address: Address
  readonly out: Outbox
  /** True where it already served a request. */
  reused = false
  idleSince = 0
  keepAliveMs = Infinity
  /** Clock time at which `expire` is due. */
  deadline = Infinity
  readonly #options: UpstreamOptions
  readonly #scanner: HeadScanner
  readonly #body = new BodyReader()
  #phase: Phase = 'connecting'
  #user: UpstreamUser | null
  #tunnel: TunnelEnd | null = null
  #method = ''
  #upgrading = false
  #head: ResponseHead | null = null
  #rest = NOTHING
  #answered = false
  /** Interim answers (RFC 9110 15.2) to the request under way. */
  #interim = 0
  #paused = false

  constructor(options: UpstreamOptions, user: UpstreamUser) {
    this.#options = options
    this.address = options.address
    this.#user = user
    this.#scanner = new HeadScanner(options.limits, false)
    this.deadline = options.now() + options.limits.connectTimeoutMs
    this.socket = connect({
      host: options.address.host,
      port: options.address.port,
      noDelay: true,
      allowHalfOpen: true,
      autoSelectFamily: false,
      onread: {
        buffer: options.buffer,
        callback: (count, buffer) => {
          this.#paused = !this.#read(count, buffer as Buffer)
          return !this.#paused
        },
      },
    })
    this.out = new Outbox(this.socket)
    this.#listen()
  }

  get usable(): boolean {
    return this.#phase === 'idle' && this.socket.writable && !this.socket.readableEnded
  }

  /** Starts the next exchange: `text` is the request head, sent with the next `out.flush()`. */
  begin(user: UpstreamUser, text: string, method: string, upgrading: boolean): void {
    this.#user = user
    this.#method = method
    this.#upgrading = upgrading
    this.#phase = 'head'
    this.#answered = false
    this.#interim = 0
    this.#scanner.reset()
    this.progressed()
    this.out.text(text)
  }

  /** The request moved on: the time for the answer starts anew. */
  progressed(): void {
    if (this.#phase === 'head') {
      this.deadline = this.#options.now() + this.#options.limits.responseTimeoutMs
    }
  }

  /** From here on it belongs to the tunnel. */
  tunnel(end: TunnelEnd): void {
    this.#tunnel = end
  }

  /** Reads on after a callback answered false. */
  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.socket.resume()
  }

  /** Closes without telling the user. */
  destroy(): void {
    this.#user = null
    this.socket.destroy()
  }

  /** Its deadline passed. */
  expire(): void {
    const failure = this.#phase === 'connecting' ? 'refused' : 'timeout'
    this.#fail(failure)
  }

  #listen(): void {
    this.socket.on('connect', () => {
      this.#phase = 'idle'
      this.deadline = Infinity
      this.#user?.connected()
    })
    this.socket.on('drain', () => {
      if (this.#tunnel !== null) this.#tunnel.upstreamDrained()
      else this.#user?.writable()
    })
    this.socket.on('end', () => this.#ended())
    // 'close' follows and tells the user.
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => {
      if (this.#phase === 'connecting') this.#fail('refused')
      else if (this.#tunnel !== null) this.#tunnel.upstreamClosed()
      else this.#fail('closed')
      this.#phase = 'closed'
      this.#options.closed(this)
    })
  }

  #ended(): void {
    if (this.#tunnel !== null) {
      this.#tunnel.upstreamEnded()
      return
    }
    if (this.#phase === 'body' && this.#body.endsByClose()) this.#finish('', false)
    else this.#fail('closed')
    this.socket.destroy()
  }

  #fail(failure: UpstreamFailure): void {
    const user = this.#user
    this.#user = null
    this.deadline = Infinity
    this.socket.destroy()
    user?.failed(failure, this.#answered)
  }

  // Returns false to stop reading: the contract of `onread`.
  #read(count: number, fresh: Buffer): boolean {
    if (this.#tunnel !== null) return this.#tunnel.fromUpstream(fresh, 0, count)
    if (this.#user === null) {
      // An answer that nobody asked for: the next request must not be matched with it.
      this.socket.destroy()
      return true
    }
    this.#answered = true
    if (this.#rest.length === 0) return this.#take(fresh, count)
    const whole = Buffer.concat([this.#rest, fresh.subarray(0, count)])
    this.#rest = NOTHING
    return this.#take(whole, whole.length)
  }

  #take(bytes: Buffer, end: number): boolean {
    let at = 0
    while (this.#user !== null && at < end) {
      at = this.#phase === 'head' ? this.#takeHead(bytes, at, end) : this.#takeBody(bytes, at, end)
      if (at < 0) {
        this.#fail('invalid')
        return true
      }
    }
    return this.#user === null || this.#user.flush()
  }

  // Returns the position behind what was taken, -1 for an answer that breaks the rules.
  #takeHead(bytes: Buffer, from: number, end: number): number {
    const scan = this.#scanner.scan(bytes, from, end)
    if (scan === 'more') {
      this.#rest = Buffer.from(bytes.subarray(from, end))
      return end
    }
    if (scan !== 'whole') return -1
    const at = from + this.#scanner.length
    const head = parseResponseHead(bytes.toString('latin1', from, at), this.#method)
    if (head === null) return -1
    this.#scanner.reset()
    if (head.status === 101) return this.#switch(head, bytes.subarray(at, end)) ? end : -1
    if (head.status < 200) {
      this.#interim += 1
      if (this.#interim > MOST_INTERIM) return -1
      this.#user?.informational(head)
      return at
    }
    this.#head = head
    this.#phase = 'body'
    this.deadline = Infinity
    this.#body.begin(head.body)
    this.#user?.responseHead(head)
    if (this.#body.done) this.#finish('', at === end)
    return at
  }

  #takeBody(bytes: Buffer, from: number, end: number): number {
    const user = this.#user
    if (user === null) return end
    const at = this.#body.consume(bytes, from, end, user)
    if (this.#body.done && at >= 0) this.#finish(this.#body.trailers, at === end)
    return at
  }

  #finish(trailers: string, alone: boolean): void {
    const user = this.#user
    const head = this.#head
    this.#user = null
    this.#head = null
    this.#phase = 'idle'
    this.reused = true
    if (head !== null && head.keepAliveMs >= 0) this.keepAliveMs = head.keepAliveMs
    user?.responseEnd(trailers, alone && head?.reusable === true)
  }

  #switch(head: ResponseHead, rest: Buffer): boolean {
    if (!this.#upgrading || head.upgrade === '') return false
    const user = this.#user
    this.#user = null
    this.#phase = 'tunnel'
    this.deadline = Infinity
    user?.switched(head, Buffer.from(rest))
    return true
  }
}
