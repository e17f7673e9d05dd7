import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { TunnelEnd, UpstreamConnection } from './upstream-connection.ts'
import { goingAwayFrame, WebsocketFrames } from './websocket-frames.ts'

export interface TunnelOptions {
  readonly client: Socket
  readonly upstream: UpstreamConnection
  readonly websocket: boolean
  /** Called once, when both sides are closed. */
  readonly done: () => void
}

/** How long both sides may take to answer a farewell. */
const FAREWELL_MS = 1000

/** Bytes both ways between a client and a target after 101, with backpressure. */
export class Tunnel implements TunnelEnd {
  readonly #client: Socket
  readonly #upstream: UpstreamConnection
  readonly #done: () => void
  readonly #fromClient: WebsocketFrames | null
  readonly #fromUpstream: WebsocketFrames | null
  #farewell: NodeJS.Timeout | null = null
  #parting = false
  #clientClosed = false
  #upstreamClosed = false

  constructor(options: TunnelOptions) {
    this.#client = options.client
    this.#upstream = options.upstream
    this.#done = options.done
    this.#fromClient = options.websocket ? new WebsocketFrames() : null
    this.#fromUpstream = options.websocket ? new WebsocketFrames() : null
  }

  /** Takes both sides over; the rests are what came behind the heads. */
  open(clientRest: Buffer, upstreamRest: Buffer): void {
    const client = this.#client
    client.on('data', (chunk: Buffer) => this.fromClient(chunk))
    client.on('drain', () => this.#upstream.resume())
    client.on('end', () => this.#upstream.socket.end())
    client.on('close', () => {
      this.#clientClosed = true
      this.#upstream.socket.destroy()
      this.#settle()
    })
    this.#upstream.tunnel(this)
    if (upstreamRest.length > 0) this.fromUpstream(upstreamRest, 0, upstreamRest.length)
    if (clientRest.length > 0) this.fromClient(clientRest)
    client.resume()
    if (this.#upstream.socket.destroyed) client.destroy()
  }

  fromClient(chunk: Buffer): void {
    if (this.#parting) return
    this.#fromClient?.pass(chunk, 0, chunk.length)
    if (!this.#upstream.socket.write(chunk)) this.#client.pause()
  }

  fromUpstream(bytes: Buffer, from: number, to: number): boolean {
    if (this.#parting) return true
    this.#fromUpstream?.pass(bytes, from, to)
    return this.#client.write(Buffer.from(bytes.subarray(from, to)))
  }

  upstreamDrained(): void {
    this.#client.resume()
  }

  // An app that closes its side is done: a client that never answers that must not hold the connection.
  upstreamEnded(): void {
    this.#client.end()
    this.#upstream.socket.end()
  }

  upstreamClosed(): void {
    this.#upstreamClosed = true
    if (this.#client.writable && !this.#client.writableEnded) this.#client.end()
    // A client that does not close by itself after our FIN is not waited for.
    this.#part()
    this.#settle()
  }

  /** Says goodbye in WebSocket's words where no frame is cut by that, and closes both sides. */
  readonly cut = (): void => {
    if (this.#parting) return
    this.#parting = true
    if (this.#fromUpstream?.between === true) this.#client.end(goingAwayFrame(null))
    else this.#client.destroy()
    const { socket } = this.#upstream
    if (this.#fromClient?.between === true) socket.end(goingAwayFrame(randomBytes(4)))
    else socket.destroy()
    this.#part()
  }

  #part(): void {
    this.#farewell ??= setTimeout(() => {
      this.#client.destroy()
      this.#upstream.socket.destroy()
    }, FAREWELL_MS)
  }

  #settle(): void {
    if (!this.#clientClosed || !this.#upstreamClosed) return
    if (this.#farewell !== null) clearTimeout(this.#farewell)
    this.#done()
  }
}
