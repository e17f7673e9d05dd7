import type { Agent, IncomingMessage, RequestOptions } from 'node:http'
import type { Method } from '../contract/endpoint.ts'
import { problemBody } from './bodies.ts'
import { ClientError, problemError } from './client-error.ts'
import { ShapeError, type Reader } from './shape.ts'

export interface ConnectionOptions {
  /** Base URL: 'http://127.0.0.1:7070', with or without a path prefix. */
  readonly server: string
  /** Bearer token; null = send none. */
  readonly token: string | null
  /** PEM certificates to trust besides the system's, for a server with its own CA. */
  readonly ca?: string
  /** Longest wait for the beginning of an answer; default 60 s. */
  readonly timeoutMs?: number
  /** Longest silence inside a stream, whose server sends empty lines while nothing happens; default 90 s. */
  readonly idleMs?: number
}

export interface Call {
  readonly method: Method
  /** Path and query below the base URL, starting with '/'. */
  readonly path: string
  /** JSON body; undefined = none. */
  readonly json?: unknown
  /** Raw body of exactly `size` bytes. */
  readonly bytes?: { readonly size: number; readonly chunks: AsyncIterable<Uint8Array> }
  readonly signal?: AbortSignal
  /** Overrides the connection's; Infinity for calls that answer when something long is done. */
  readonly timeoutMs?: number
}

/**
 * HTTP/1.1 with keep-alive to one server. The `node:http` module is fetched with `getBuiltinModule`, since importing it also loads
 * the fetch implementation behind its exports: 22 ms of a start that takes 26.
 */
export class Connection {
  readonly #options: ConnectionOptions
  readonly #base: URL
  #agent: Agent | null = null

  /** @throws ClientError INVALID_REQUEST where the server's URL is none */
  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#base = serverUrl(options.server)
  }

  get server(): string {
    return this.#options.server
  }

  /** URL of a path for a WebSocket. */
  socketUrl(path: string): string {
    const protocol = this.#base.protocol === 'https:' ? 'wss:' : 'ws:'
    return `${protocol}//${this.#base.host}${this.#prefix()}${path}`
  }

  headers(): Record<string, string> {
    const { token } = this.#options
    return token === null ? {} : { authorization: `Bearer ${token}` }
  }

  /** @throws ClientError what the server's problem says, SERVER_UNREACHABLE, TIMEOUT, INTERNAL for an answer that is not of the contract */
  async value<T>(call: Call, reader: Reader<T>): Promise<T> {
    const response = await this.#send(call)
    return read(await this.#wholeText(response), reader)
  }

  /** For endpoints that answer 204. */
  async nothing(call: Call): Promise<void> {
    const response = await this.#send(call)
    response.resume()
  }

  /** Lines of an ndjson answer. Ends when the server ends; whether that was the proper end is the caller's judgement. */
  async *lines<T>(call: Call, reader: Reader<T>): AsyncGenerator<T, void, undefined> {
    const response = await this.#send(call)
    const idleMs = this.#options.idleMs ?? 90_000
    response.socket.setTimeout(idleMs, () => {
      response.destroy(new Error(`silent for ${Math.round(idleMs / 1000)} s`))
    })
    try {
      for await (const line of splitLines(response)) {
        if (line === '') continue
        if (line.startsWith('{"error":')) throw problemError(read(line, problemBody).error, null)
        yield read(line, reader)
      }
    } catch (error) {
      throw this.#failure(error, call)
    } finally {
      response.destroy()
    }
  }

  close(): void {
    this.#agent?.destroy()
    this.#agent = null
  }

  async #send(call: Call): Promise<IncomingMessage> {
    let response: IncomingMessage
    try {
      response = await this.#exchange(call)
    } catch (error) {
      throw this.#failure(error, call)
    }
    const status = response.statusCode ?? 0
    if (status >= 200 && status < 300) return response
    throw await this.#problem(response, status)
  }

  async #exchange(call: Call): Promise<IncomingMessage> {
    const secure = this.#base.protocol === 'https:'
    const http = process.getBuiltinModule('node:http')
    const body = call.json === undefined ? null : Buffer.from(JSON.stringify(call.json))
    const request = secure
      ? process.getBuiltinModule('node:https').request(this.#requestOptions(call, body))
      : http.request(this.#requestOptions(call, body))
    const timeoutMs = call.timeoutMs ?? this.#options.timeoutMs ?? 60_000
    return new Promise((resolve, reject) => {
      const timer =
        timeoutMs === Infinity
          ? undefined
          : setTimeout(() => {
              request.destroy(
                new ClientError('TIMEOUT', `no answer within ${Math.round(timeoutMs / 1000)} s`),
              )
            }, timeoutMs)
      let answered = false
      request.once('response', (response) => {
        answered = true
        clearTimeout(timer)
        resolve(response)
      })
      // An answer that came before the whole body was read (a refusal) counts more than the broken pipe after it.
      request.on('error', (error) => {
        clearTimeout(timer)
        if (!answered) reject(error)
      })
      if (call.bytes === undefined) {
        request.end(body ?? undefined)
        return
      }
      writeAll(request, call.bytes.chunks, () => answered).catch((error: unknown) => {
        request.destroy(error instanceof Error ? error : new Error(String(error)))
      })
    })
  }

  #requestOptions(call: Call, body: Buffer | null): RequestOptions {
    const length = call.bytes?.size ?? body?.length
    return {
      method: call.method,
      protocol: this.#base.protocol,
      hostname: this.#base.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: this.#base.port,
      path: `${this.#prefix()}${call.path}`,
      agent: this.#keepAlive(),
      headers: {
        ...this.headers(),
        accept: 'application/json, application/x-ndjson',
        ...(length === undefined ? {} : { 'content-length': length }),
        ...(call.bytes === undefined ? {} : { 'content-type': 'application/octet-stream' }),
        ...(body === null ? {} : { 'content-type': 'application/json' }),
      },
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    }
  }

  #keepAlive(): Agent {
    if (this.#agent !== null) return this.#agent
    const { ca } = this.#options
    if (this.#base.protocol === 'https:') {
      const tls = process.getBuiltinModule('node:tls')
      const https = process.getBuiltinModule('node:https')
      this.#agent = new https.Agent({
        keepAlive: true,
        ...(ca === undefined ? {} : { ca: [...tls.rootCertificates, ca] }),
      })
    } else {
      this.#agent = new (process.getBuiltinModule('node:http').Agent)({ keepAlive: true })
    }
    return this.#agent
  }

  #prefix(): string {
    return this.#base.pathname.replace(/\/+$/, '')
  }

  async #wholeText(response: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of response) chunks.push(chunk as Buffer)
    } catch (error) {
      throw this.#failure(error, null)
    }
    return Buffer.concat(chunks).toString('utf8')
  }

  async #problem(response: IncomingMessage, status: number): Promise<ClientError> {
    const body = await this.#wholeText(response)
    try {
      return problemError(read(body, problemBody).error, status)
    } catch (cause) {
      return new ClientError(
        'SERVER_UNREACHABLE',
        `${this.server} answered ${status} without a Fairway error: is that a Fairway server?`,
        { status, cause },
      )
    }
  }

  #failure(error: unknown, call: Call | null): unknown {
    if (error instanceof ClientError || error instanceof ShapeError) return error
    if (call?.signal?.aborted === true) return error
    return new ClientError('SERVER_UNREACHABLE', unreachable(this.server, error), { cause: error })
  }
}

/** @throws ClientError INVALID_REQUEST where `text` is no http(s) URL */
export function serverUrl(text: string): URL {
  const url = URL.parse(text)
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url
  throw new ClientError(
    'INVALID_REQUEST',
    `${JSON.stringify(text)} is not the URL of a server, expected http://HOST:PORT or https://HOST`,
  )
}

async function writeAll(
  request: NodeJS.WritableStream,
  chunks: AsyncIterable<Uint8Array>,
  stopped: () => boolean,
): Promise<void> {
  for await (const chunk of chunks) {
    if (stopped()) return
    if (!request.write(chunk)) await drained(request, stopped)
  }
  request.end()
}

/** Resolves when more can be written, or the stream is closed. */
function drained(stream: NodeJS.WritableStream, stopped: () => boolean): Promise<void> {
  if (stopped()) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of ['drain', 'close', 'error', 'response'])
        stream.removeListener(event, done)
      resolve()
    }
    for (const event of ['drain', 'close', 'error', 'response']) stream.on(event, done)
  })
}

async function* splitLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest: Buffer[] = []
  for await (const chunk of chunks) {
    let start = 0
    for (;;) {
      const end = chunk.indexOf(0x0a, start)
      if (end < 0) break
      rest.push(chunk.subarray(start, end))
      yield Buffer.concat(rest).toString('utf8').trimEnd()
      rest = []
      start = end + 1
    }
    if (start < chunk.length) rest.push(chunk.subarray(start))
  }
  // Half a line is a cut stream, which the caller notices by the missing last event.
}

function read<T>(body: string, reader: Reader<T>): T {
  try {
    return reader(JSON.parse(body), '')
  } catch (cause) {
    const why = cause instanceof ShapeError ? cause.message : 'not JSON'
    throw new ClientError('INTERNAL', `the server's answer is not what the API promises (${why})`, {
      hint: 'Server and CLI may be of different versions: see `fairway version`.',
      cause,
    })
  }
}

function unreachable(server: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  switch (code) {
    case 'ECONNREFUSED':
      return `no server answers at ${server}`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the name in ${server} does not resolve`
    case 'ECONNRESET':
    case 'EPIPE':
      return `${server} closed the connection`
    default:
      return `${server}: ${error instanceof Error ? error.message : String(error)}`
  }
}
