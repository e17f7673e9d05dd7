import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { Agent, request as openRequest, type RequestOptions } from 'node:https'
import { Transform, type Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { FairwayError } from '../model/errors.ts'
import type { AccessWanted, ClusterDoor, Passage } from '../model/kube-access.ts'
import { answerHeaders, requestHeaders } from './access-headers.ts'
import { errorOfConnection } from './cluster-error.ts'
import type { ClusterConnection } from './kubeconfig.ts'

export interface AccessDoorOptions {
  readonly connection: ClusterConnection
  /** Of the account that may act as people and nothing else. */
  readonly token: () => Promise<string>
  /** The account's token was refused. */
  readonly refused: () => void
  readonly prepare: (wanted: AccessWanted) => Promise<void>
  readonly close: () => Promise<void>
}

const CONNECT_MS = 10_000
/** To the head of an answer: watches and logs send theirs at once, what takes long on the cluster ends after 60 s by its own limit. */
const HEAD_MS = 70_000
const MAX_SOCKETS = 256

/** Requests of people to one API server: made with the account's token and the headers that say as whom. */
export class AccessDoor implements ClusterDoor {
  readonly #options: AccessDoorOptions
  readonly #base: URL
  readonly #agent: Agent
  /** Streams that leave HTTP have a connection each. */
  readonly #single: Agent

  constructor(options: AccessDoorOptions) {
    this.#options = options
    const { server, ca, serverName, insecure } = options.connection
    this.#base = new URL(server)
    const tls = {
      ...(ca === null ? {} : { ca }),
      ...(serverName === null ? {} : { servername: serverName }),
      // Never the certificate of the target's own account: the API server would take that for who asks.
      rejectUnauthorized: !insecure,
      ALPNProtocols: ['http/1.1'],
    }
    this.#agent = new Agent({ ...tls, keepAlive: true, maxSockets: MAX_SOCKETS })
    this.#single = new Agent({ ...tls, keepAlive: false })
  }

  get server(): string {
    return this.#options.connection.server
  }

  get serverName(): string | null {
    return this.#options.connection.serverName
  }

  get ca(): string | null {
    return this.#options.connection.ca
  }

  prepare(wanted: AccessWanted): Promise<void> {
    return this.#options.prepare(wanted)
  }

  async show(token: string): Promise<number> {
    const upstream = this.#send('/version', {
      method: 'GET',
      headers: { authorization: `Bearer ${token}` },
      agent: this.#single,
    })
    try {
      const answered = answerTo(upstream)
      upstream.end()
      return (await this.#inTime(answered, upstream)).statusCode ?? 502
    } finally {
      upstream.destroy()
    }
  }

  async pass(passage: Passage, response: ServerResponse): Promise<number> {
    const { request, signal } = passage
    const upstream = await this.#open(passage, null)
    const leave = (): void => {
      upstream.destroy()
    }
    response.once('close', leave)
    try {
      const answered = answerTo(upstream)
      sendBody(request, upstream)
      const answer = await this.#inTime(answered, upstream)
      this.#expectAccount(answer)
      response.writeHead(answer.statusCode ?? 502, answerHeaders(answer.headers))
      response.flushHeaders()
      await pipeline(answer, response, { signal }).catch(() => undefined)
      return answer.statusCode ?? 502
    } finally {
      response.off('close', leave)
      upstream.destroy()
    }
  }

  async upgrade(passage: Passage, socket: Duplex, head: Buffer): Promise<number> {
    const upstream = await this.#open(passage, passage.request.headers.upgrade ?? '')
    const leave = (): void => {
      upstream.destroy()
    }
    socket.once('close', leave)
    try {
      const taken = new Promise<[IncomingMessage, Duplex, Buffer]>((resolve) => {
        upstream.once('upgrade', (...all) => resolve(all))
      })
      const answered = Promise.race([taken, answerTo(upstream)])
      upstream.end()
      const answer = await this.#inTime(answered, upstream)
      if (!Array.isArray(answer)) {
        this.#expectAccount(answer)
        return await refuse(answer, socket)
      }
      const [response, far, first] = answer
      far.on('error', () => undefined)
      socket.write(headText(response))
      if (first.length > 0) socket.write(first)
      if (head.length > 0) far.write(head)
      await joined(socket, far, passage.signal)
      return response.statusCode ?? 101
    } finally {
      socket.off('close', leave)
      upstream.destroy()
    }
  }

  async close(): Promise<void> {
    this.#agent.destroy()
    this.#single.destroy()
    await this.#options.close()
  }

  async #open(
    { request, path, user, signal }: Passage,
    upgrade: string | null,
  ): Promise<ClientRequest> {
    const token = await this.#options.token()
    return this.#send(path, {
      method: request.method ?? 'GET',
      headers: requestHeaders(request.headers, user, { token, upgrade }),
      agent: upgrade === null ? this.#agent : this.#single,
      signal,
    })
  }

  #send(path: string, options: RequestOptions): ClientRequest {
    const opened = openRequest({
      protocol: 'https:',
      hostname: this.#base.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: this.#base.port === '' ? 443 : this.#base.port,
      path: `${this.#base.pathname.replace(/\/$/, '')}${path}`,
      ...options,
    })
    opened.setNoDelay(true)
    opened.once('socket', (socket) => {
      if (!socket.connecting) return
      const timer = setTimeout(() => {
        opened.destroy(Object.assign(new Error('no connection in time'), { code: 'ETIMEDOUT' }))
      }, CONNECT_MS)
      for (const event of ['secureConnect', 'close'])
        socket.once(event, () => {
          clearTimeout(timer)
        })
    })
    return opened
  }

  /** The API server does not know our account: nothing that whoever asks could log in again for. @throws FairwayError CLUSTER_UNREACHABLE */
  #expectAccount({ statusCode }: IncomingMessage): void {
    if (statusCode !== 401) return
    this.#options.refused()
    throw new FairwayError('CLUSTER_UNREACHABLE', 'the cluster refuses the proxy; try again')
  }

  /** @throws FairwayError CLUSTER_UNREACHABLE */
  async #inTime<T>(answer: Promise<T>, upstream: ClientRequest): Promise<T> {
    const timer = setTimeout(() => {
      upstream.destroy(new FairwayError('TIMEOUT', 'the cluster did not answer in time'))
    }, HEAD_MS)
    try {
      return await answer
    } catch (error) {
      if (error instanceof FairwayError) throw error
      const { server, user } = this.#options.connection
      throw errorOfConnection(error, { server, user, what: 'pass a request on' })
    } finally {
      clearTimeout(timer)
    }
  }
}

// Private

/** What the API server takes is 3 MiB for objects; programs behind `…/proxy/` may take more. */
const MAX_BODY = 16 << 20

/**
 * Passes the body on. A body without its length has to be sent in chunks whatever the method: bytes without a frame would be the next request on the same
 * connection to the API server (RFC 9112, 6.3).
 */
function sendBody(request: IncomingMessage, upstream: ClientRequest): void {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
  if (length === undefined && encoding === undefined) {
    upstream.end()
    return
  }
  if (length === undefined) upstream.setHeader('transfer-encoding', 'chunked')
  let size = 0
  const counted = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      size += chunk.length
      if (size > MAX_BODY) done(new FairwayError('TOO_LARGE', 'the body is too large'))
      else done(null, chunk)
    },
  })
  // A body that breaks off ends the request to the API server, and with it the answer.
  pipeline(request, counted, upstream).catch((error: unknown) => {
    upstream.destroy(error instanceof Error ? error : new Error(String(error)))
  })
}

function answerTo(upstream: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    upstream.once('response', resolve)
    // Also after the answer has begun: then its own stream says so.
    upstream.on('error', reject)
  })
}

/** The API server said no to leaving HTTP: its answer goes back as it is. */
async function refuse(answer: IncomingMessage, socket: Duplex): Promise<number> {
  const status = answer.statusCode ?? 502
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of answer) {
    if (!Buffer.isBuffer(chunk)) continue
    size += chunk.length
    if (size > MAX_REFUSAL) break
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks)
  const type = answer.headers['content-type'] ?? 'text/plain'
  socket.end(
    Buffer.concat([
      Buffer.from(
        `HTTP/1.1 ${String(status)} ${answer.statusMessage ?? ''}\r\ncontent-type: ${type}\r\ncontent-length: ${String(body.length)}\r\nconnection: close\r\n\r\n`,
      ),
      body,
    ]),
  )
  return status
}

/** Raw, as the API server wrote it: names of its headers are case-sensitive to some clients. */
function headText(response: IncomingMessage): string {
  const { rawHeaders, statusCode = 101, statusMessage = 'Switching Protocols' } = response
  const lines = rawHeaders.flatMap((name, index) =>
    index % 2 === 0 ? [`${name}: ${rawHeaders[index + 1] ?? ''}\r\n`] : [],
  )
  return `HTTP/1.1 ${String(statusCode)} ${statusMessage}\r\n${lines.join('')}\r\n`
}

/** Both ways until both are closed; an abort cuts both. */
async function joined(near: Duplex, far: Duplex, signal: AbortSignal): Promise<void> {
  const cut = (): void => {
    near.destroy()
    far.destroy()
  }
  signal.addEventListener('abort', cut)
  if (signal.aborted) cut()
  try {
    near.pipe(far)
    far.pipe(near)
    await Promise.race([closed(near), closed(far)])
    // What is under way to the other side still arrives.
    near.end()
    far.end()
    await Promise.race([Promise.all([closed(near), closed(far)]), after(LINGER_MS)])
  } finally {
    signal.removeEventListener('abort', cut)
    cut()
  }
}

const LINGER_MS = 2_000
const MAX_REFUSAL = 1 << 20

function closed(stream: Duplex): Promise<void> {
  if (stream.closed) return Promise.resolve()
  return new Promise((resolve) => {
    stream.once('close', resolve)
  })
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
