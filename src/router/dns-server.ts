import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram'
import { createServer, isIPv4, type Server, type Socket } from 'node:net'
import * as packet from 'dns-packet'
import type { Log } from '../lib/log.ts'
import type { Address } from '../model/instance.ts'
import type { AppRef } from '../model/names.ts'
import { describeTcp, listenOn } from './listener.ts'
import {
  descriptorOf,
  socketName,
  type InheritedSockets,
  type SocketDescriptors,
} from './listening-sockets.ts'
import { forwardQuery, type DnsUpstream } from './dns-forward.ts'

export interface DnsOptions {
  readonly address: Address
  /** IPv4 address that internal names resolve to; null while it is not bound. */
  readonly answer: () => string | null
  readonly caller: (address: string) => AppRef | null
  readonly knows: (host: string, caller: AppRef) => boolean
  /** Where other names are asked, in this order. */
  readonly upstreams: () => Promise<readonly DnsUpstream[]>
  readonly log: Log
}

const TTL = 5
const MAX_QUERIES = 256
const TCP_IDLE_MS = 10_000
const MAX_TCP = 64

/** DNS for instances: `*.internal` is answered here, the rest by the host's resolvers. RFC 1035, UDP and TCP. */
export class DnsServer {
  readonly #options: DnsOptions
  #udp: UdpSocket | null = null
  readonly #tcp: Server
  readonly #streams = new Set<Socket>()
  #active = 0

  constructor(options: DnsOptions) {
    this.#options = options
    this.#tcp = createServer((socket) => this.#stream(socket))
    this.#tcp.maxConnections = MAX_TCP
  }

  /** The UDP and TCP address; null before `listen`. */
  get address(): Address | null {
    if (this.#udp === null) return null
    const { address, port } = this.#udp.address()
    return { host: address, port }
  }

  get names(): readonly string[] {
    const { address } = this.#options
    return [socketName('udp', address), socketName('tcp', address)]
  }

  /** Empty while it does not listen. */
  get descriptors(): SocketDescriptors {
    const { host } = this.#options.address
    if (this.#udp === null) return new Map()
    const address = { host, port: this.#udp.address().port }
    const udp = descriptorOf(this.#udp)
    return new Map([
      ...describeTcp(this.#tcp, address),
      ...(udp === null ? [] : [[socketName('udp', address), udp] as const]),
    ])
  }

  /** @throws the system's error where the address cannot be bound */
  async listen(inherited: InheritedSockets): Promise<void> {
    const { host, port } = this.#options.address
    const udp = createSocket({ type: isIPv4(host) ? 'udp4' : 'udp6' })
    const descriptor = inherited.take(socketName('udp', this.#options.address))
    try {
      await new Promise<void>((resolve, reject) => {
        udp.once('error', reject)
        udp.bind(descriptor === null ? { address: host, port } : { fd: descriptor }, () => {
          udp.removeListener('error', reject)
          resolve()
        })
      })
      await listenOn(this.#tcp, { host, port: udp.address().port }, inherited)
    } catch (error) {
      udp.close()
      throw error
    }
    udp.on('error', (error) => this.#options.log.error({ error: error.message }, 'dns failed'))
    udp.on('message', (message, remote) => void this.#datagram(udp, message, remote))
    this.#tcp.on('error', (error) =>
      this.#options.log.error({ error: error.message }, 'dns failed'),
    )
    this.#udp = udp
  }

  close(): void {
    this.#udp?.close()
    this.#udp = null
    if (this.#tcp.listening) this.#tcp.close()
    for (const stream of this.#streams) stream.destroy()
  }

  async #datagram(udp: UdpSocket, message: Buffer, remote: RemoteInfo): Promise<void> {
    const answer = await this.#resolve(message, remote.address, 'udp')
    if (answer !== null && this.#udp === udp) udp.send(answer, remote.port, remote.address)
  }

  // RFC 7766: two bytes of length before each message.
  #stream(socket: Socket): void {
    this.#streams.add(socket)
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy())
    socket.on('error', () => undefined)
    socket.on('close', () => this.#streams.delete(socket))
    let input = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      input = Buffer.concat([input, chunk])
      while (input.length >= 2 && input.length >= 2 + input.readUInt16BE(0)) {
        const end = 2 + input.readUInt16BE(0)
        const message = Buffer.from(input.subarray(2, end))
        input = input.subarray(end)
        void this.#resolve(message, socket.remoteAddress ?? '', 'tcp').then((answer) => {
          if (answer === null || !socket.writable) return
          const length = Buffer.alloc(2)
          length.writeUInt16BE(answer.length)
          socket.write(Buffer.concat([length, answer]))
        })
      }
    })
  }

  // Null where no answer is due.
  async #resolve(
    message: Buffer,
    source: string,
    transport: 'udp' | 'tcp',
  ): Promise<Buffer | null> {
    const query = decodeQuery(message)
    if (query === null || this.#active >= MAX_QUERIES) return null
    this.#active++
    try {
      const name = query.question.name.toLowerCase().replace(/\.$/, '')
      if (name === 'internal' || name.endsWith('.internal')) {
        return this.#internal(query, name, source.replace(/^::ffff:/, ''))
      }
      const upstreams = await this.#options.upstreams()
      return (await forwardQuery(message, upstreams, transport)) ?? respond(query, 2, [])
    } catch (error) {
      this.#options.log.warn({ error: String(error) }, 'dns query failed')
      return respond(query, 2, [])
    } finally {
      this.#active--
    }
  }

  #internal(query: Query, name: string, source: string): Buffer {
    const caller = this.#options.caller(source)
    if (caller === null || !this.#options.knows(name, caller)) return respond(query, NXDOMAIN, [])
    const data = this.#options.answer()
    if (data === null) return respond(query, 2, [])
    if (query.question.type !== 'A') return respond(query, 0, [])
    return respond(query, 0, [{ type: 'A', name: query.question.name, ttl: TTL, data }])
  }
}

const NXDOMAIN = 3

interface Query {
  readonly id: number
  readonly flags: number
  readonly question: packet.Question
}

function decodeQuery(message: Buffer): Query | null {
  try {
    const { type, id, flags, questions } = packet.decode(message)
    const question = questions?.[0]
    if (type !== 'query' || question === undefined || questions?.length !== 1) return null
    return { id: id ?? 0, flags: flags ?? 0, question }
  } catch {
    // What is not DNS gets no answer: it could be a reflection.
    return null
  }
}

function respond(query: Query, code: number, answers: packet.Answer[]): Buffer {
  const recursion = query.flags & packet.RECURSION_DESIRED
  return packet.encode({
    type: 'response',
    id: query.id,
    flags:
      recursion |
      packet.RECURSION_AVAILABLE |
      (code === 2 ? 0 : packet.AUTHORITATIVE_ANSWER) |
      code,
    questions: [query.question],
    answers,
  })
}
