/** gRPC over HTTP/2 as a server of small unary requests (protocol of grpc.io, "gRPC over HTTP2"): see docs/decisions for why it is written here. */
import type { Http2Server, ServerHttp2Stream } from 'node:http2'
import { createServer } from 'node:http2'

/** Status codes that are answered on purpose. */
export const GRPC = {
  OK: 0,
  INVALID_ARGUMENT: 3,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const

/** Ends a call with a status; any other error ends it as INTERNAL, without its text. */
export class GrpcError extends Error {
  override readonly name = 'GrpcError'
  readonly status: number
  constructor(status: (typeof GRPC)[keyof typeof GRPC], message: string) {
    super(message)
    this.status = status
  }
}

export interface GrpcCall {
  readonly message: Buffer
  /** First value of a metadata field; lower-case name. */
  metadata(name: string): string | null
  send(message: Buffer): void
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal
}

/** Resolves when the call is over; what it sent with `send` is the answer. */
export type GrpcMethod = (call: GrpcCall) => Promise<void>

export interface GrpcOptions {
  /** `/Service/Method` -> what answers it. */
  readonly methods: ReadonlyMap<string, GrpcMethod>
  /** Told what was unexpected. */
  readonly onError: (error: unknown) => void
}

const MAX_MESSAGE = 65_536
const MAX_STREAMS = 100
const REQUEST_MS = 10_000
const PREFIX = 5

/** Not yet listening; every connection is the same caller. */
export function createGrpcServer({ methods, onError }: GrpcOptions): Http2Server {
  const server = createServer({
    maxSessionMemory: 2,
    maxHeaderListPairs: 64,
    settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: 16_384, enablePush: false },
  })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined)
    const method = methods.get(String(headers[':path']))
    if (headers[':method'] !== 'POST' || !isGrpc(headers['content-type'])) {
      stream.respond({ ':status': 415 }, { endStream: true })
      return
    }
    const answer = new Answer(stream)
    const work =
      method === undefined
        ? Promise.reject(new GrpcError(GRPC.UNIMPLEMENTED, 'unknown method'))
        : serve(stream, answer, method, (name) => first(headers[name]))
    work.then(
      () => answer.end(GRPC.OK, ''),
      (error: unknown) => {
        const known = error instanceof GrpcError
        if (!known && !stream.destroyed) onError(error)
        if (known) answer.end(error.status, error.message)
        else answer.end(GRPC.INTERNAL, 'the call failed')
      },
    )
  })
  server.on('sessionError', () => undefined)
  return server
}

async function serve(
  stream: ServerHttp2Stream,
  answer: Answer,
  method: GrpcMethod,
  metadata: GrpcCall['metadata'],
): Promise<void> {
  const gone = new AbortController()
  stream.once('close', () => gone.abort(new Error('the client is gone')))
  const message = await readMessage(stream)
  await method({ message, metadata, signal: gone.signal, send: (bytes) => answer.send(bytes) })
}

/** The one message of the request. @throws GrpcError */
async function readMessage(stream: ServerHttp2Stream): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  const late = setTimeout(() => stream.close(), REQUEST_MS)
  try {
    // A refusal is still to be sent on it.
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      const bytes = Buffer.from(chunk as Uint8Array)
      size += bytes.length
      if (size > MAX_MESSAGE) throw new GrpcError(GRPC.RESOURCE_EXHAUSTED, 'message too long')
      chunks.push(bytes)
    }
  } finally {
    clearTimeout(late)
  }
  const bytes = Buffer.concat(chunks)
  if (bytes.length < PREFIX || bytes.readUInt32BE(1) !== bytes.length - PREFIX)
    throw new GrpcError(GRPC.INVALID_ARGUMENT, 'expected one message')
  if (bytes[0] !== 0) throw new GrpcError(GRPC.UNIMPLEMENTED, 'compression is not supported')
  return bytes.subarray(PREFIX)
}

/** Headers with the first message, trailers at the end; both at once where there is no message. */
class Answer {
  readonly #stream: ServerHttp2Stream
  #begun = false

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream
  }

  send(message: Buffer): void {
    if (this.#isOver()) return
    if (!this.#begun) {
      this.#begun = true
      this.#stream.respond(HEADERS, { waitForTrailers: true })
    }
    const prefix = Buffer.alloc(PREFIX)
    prefix.writeUInt32BE(message.length, 1)
    this.#stream.write(Buffer.concat([prefix, message]))
  }

  end(status: number, text: string): void {
    if (this.#isOver()) return
    const trailers = {
      'grpc-status': String(status),
      ...(text === '' ? {} : { 'grpc-message': encodeURIComponent(text).replaceAll('%20', ' ') }),
    }
    if (!this.#begun) {
      this.#stream.respond({ ...HEADERS, ...trailers }, { endStream: true })
      return
    }
    this.#stream.once('wantTrailers', () => this.#stream.sendTrailers(trailers))
    this.#stream.end()
  }

  #isOver(): boolean {
    return this.#stream.destroyed || this.#stream.closed
  }
}

const HEADERS = { ':status': 200, 'content-type': 'application/grpc' } as const

function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:\+proto)?(?:;|$)/.test(contentType)
}

function first(value: string | readonly string[] | undefined): string | null {
  return (typeof value === 'string' ? value : value?.[0]) ?? null
}
