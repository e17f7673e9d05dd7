import type { ServerHttp2Session } from 'node:http2'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls'
import type { Log } from '../lib/log.ts'
import type { Address } from '../model/instance.ts'
import { ClientConnection, type ClientContext } from './client-connection.ts'
import type { RequestOrigin } from './downstream.ts'
import type { RouterLimits } from './limits.ts'
import {
  descriptorOf,
  socketName,
  type InheritedSockets,
  type SocketDescriptors,
} from './listening-sockets.ts'
import type { Plane } from './plane.ts'

export interface ListenerOptions {
  readonly address: Address
  readonly internal: boolean
  /** The one caller that this listener is for, as the table knows it; null where the source address tells callers apart. */
  readonly door: string | null
  /** Null for plain HTTP. */
  readonly tls: TlsOptions | null
  readonly plane: Plane
  readonly limits: RouterLimits
  readonly sources: Sources
  readonly now: () => number
  readonly log: Log
}

const BACKLOG = 4096

/** One listening address and the client connections that came through it. */
export class Listener {
  readonly #options: ListenerOptions
  readonly #server: Server
  readonly #clients = new Set<ClientConnection>()
  readonly #sessions = new Set<ServerHttp2Session>()
  readonly #context: ClientContext
  #closing = false

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#context = {
      plane: options.plane,
      limits: options.limits,
      now: options.now,
      closing: () => this.#closing,
      closed: (connection) => this.#clients.delete(connection),
    }
    this.#server = this.#createServer()
  }

  get address(): Address | null {
    const bound = this.#server.address() as AddressInfo | null
    return bound === null ? null : { host: bound.address, port: bound.port }
  }

  get connections(): number {
    return this.#clients.size + this.#sessions.size
  }

  get names(): readonly string[] {
    return [socketName('tcp', this.#options.address)]
  }

  /** Empty while it does not listen. */
  get descriptors(): SocketDescriptors {
    return describeTcp(this.#server, this.#options.address)
  }

  /** @throws the system's error where the address cannot be bound */
  async listen(inherited: InheritedSockets): Promise<void> {
    await listenOn(this.#server, this.#options.address, inherited)
    this.#server.on('error', (error: Error) => {
      this.#options.log.error({ error: error.message }, 'listener failed')
    })
  }

  sweep(now: number): void {
    for (const client of this.#clients) if (client.deadline <= now) client.expire()
  }

  /** Takes no new connections; those that are open end with their next response. */
  stopAccepting(): void {
    this.#closing = true
    if (this.#server.listening) this.#server.close()
    for (const session of this.#sessions) session.close()
  }

  closeIdle(): void {
    for (const client of this.#clients) if (client.idle) client.destroy()
  }

  destroy(): void {
    this.stopAccepting()
    for (const client of this.#clients) client.destroy()
    for (const session of this.#sessions) session.destroy()
  }

  #createServer(): Server {
    const { tls, sources, log } = this.#options
    const common = {
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
    }
    const server =
      tls === null
        ? createServer(common, (socket) => this.#serve(socket, 'http'))
        : createTlsServer({
            ...common,
            ...tls,
            handshakeTimeout: this.#options.limits.headTimeoutMs,
          })
    server.prependListener('connection', (socket: Socket) => {
      if (!sources.enter(socket, this.#options.door)) socket.destroy()
    })
    if (tls !== null) {
      server.on('secureConnection', (socket: TLSSocket) => this.#secure(socket))
      // A client that fails its handshake is its own affair.
      server.on('tlsClientError', (error: Error) => {
        log.debug({ error: error.message }, 'TLS handshake failed')
      })
    }
    return server
  }

  #secure(socket: TLSSocket): void {
    if (socket.alpnProtocol !== 'h2') {
      this.#serve(socket, 'https')
      return
    }
    // What goes wrong before the session takes over ends this connection alone.
    socket.on('error', () => socket.destroy())
    this.#serveHttp2(socket).catch(() => socket.destroy())
  }

  #serve(socket: Socket, scheme: 'http' | 'https'): void {
    if (socket.destroyed) return
    this.#clients.add(new ClientConnection(socket, this.#origin(socket, scheme), this.#context))
  }

  /** HTTP/2 is loaded with the first connection that wants it: a router without TLS does without its memory. */
  async #serveHttp2(socket: TLSSocket): Promise<void> {
    const { openHttp2Session } = await import('./http2-session.ts')
    if (socket.destroyed) return
    const { limits, plane } = this.#options
    const session = openHttp2Session(socket, {
      limits,
      plane,
      origin: this.#origin(socket, 'https'),
    })
    this.#sessions.add(session)
    session.on('close', () => this.#sessions.delete(session))
    if (this.#closing) session.close()
  }

  #origin(socket: Socket, scheme: 'http' | 'https'): RequestOrigin {
    const { internal, door } = this.#options
    const remote = plainAddress(socket.remoteAddress)
    return { remote, scheme, caller: internal ? (door ?? remote) : null, door: door !== null }
  }
}

/** Counts open connections, in total and per source address. */
export class Sources {
  readonly #limits: RouterLimits
  readonly #bySource = new Map<string, number>()
  #total = 0

  constructor(limits: RouterLimits) {
    this.#limits = limits
  }

  get total(): number {
    return this.#total
  }

  /** False where one more would be too many. Leaves by itself when the socket closes. `name` counts instead of the address, where that is shared. */
  enter(socket: Socket, name: string | null = null): boolean {
    const source = name ?? plainAddress(socket.remoteAddress)
    const count = this.#bySource.get(source) ?? 0
    if (count >= this.#limits.connectionsPerSource || this.#total >= this.#limits.connections) {
      return false
    }
    this.#bySource.set(source, count + 1)
    this.#total++
    socket.once('close', () => {
      this.#total--
      const left = (this.#bySource.get(source) ?? 1) - 1
      if (left > 0) this.#bySource.set(source, left)
      else this.#bySource.delete(source)
    })
    return true
  }
}

/** Listens on the socket that the router before had for this address, or binds one. @throws the system's error where that cannot be done */
export function listenOn(
  server: Server,
  address: Address,
  inherited: InheritedSockets,
): Promise<void> {
  const descriptor = inherited.take(socketName('tcp', address))
  const where = descriptor === null ? address : { fd: descriptor }
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // The number of connections that may wait is given apart: beside a descriptor it would not be looked at.
    server.listen(where, BACKLOG, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
}

/** The descriptor of a listening server under its name; a port that the system chose is named by its number. */
export function describeTcp(server: Server, { host, port }: Address): SocketDescriptors {
  const bound = server.address()
  const descriptor = descriptorOf(server)
  if (bound === null || typeof bound === 'string' || descriptor === null) return new Map()
  return new Map([[socketName('tcp', { host, port: port === 0 ? bound.port : port }), descriptor]])
}

function plainAddress(address: string | undefined): string {
  if (address === undefined) return ''
  return address.startsWith('::ffff:') ? address.slice(7) : address
}
