import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { Cut, Downstream, RequestOrigin } from './downstream.ts'
import type { Exchange } from './exchange.ts'
import { isToken, REQUEST_FIELDS } from './field-name.ts'
import { parseFields, type Fields } from './fields.ts'
import type { Plane } from './plane.ts'
import { problemPage, type Problem } from './problem.ts'
import { composeRequest, type RequestHead } from './request-head.ts'
import { CHUNKED, NO_BODY, type ResponseHead } from './response-head.ts'

/** One HTTP/2 stream as the client's side of an exchange. */
export class Http2Exchange implements Downstream {
  readonly #stream: ServerHttp2Stream
  #request: RequestHead | null = null
  #exchange: Exchange | null = null
  #reading = false
  #trailers = ''

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream
  }

  /** `raw` are names and values in turn, as node:http2 gives them. */
  start(raw: readonly string[], origin: RequestOrigin, plane: Plane): void {
    const stream = this.#stream
    // 'close' follows.
    stream.on('error', () => undefined)
    stream.on('close', () => {
      this.#exchange?.cancel()
      this.#exchange = null
    })
    stream.on('drain', () => this.#exchange?.clientDrained())
    const request = parseHttp2Request(raw, stream.endAfterHeaders)
    if (typeof request === 'string') {
      this.fail(request)
      return
    }
    this.#request = request
    const exchange = plane.dispatch(request, origin, this)
    if (exchange === null) return
    this.#exchange = exchange
    exchange.start()
    if (exchange.takesBody) this.bodyWanted()
  }

  bodyWanted(): void {
    const exchange = this.#exchange
    if (exchange === null || this.#request?.length === 0) return
    if (!this.#reading) this.#read(exchange)
    else if (exchange.flushBody()) this.#stream.resume()
  }

  informational(head: ResponseHead): void {
    if (head.status === 100 || this.#stream.headersSent || this.#stream.destroyed) return
    this.#try(() =>
      this.#stream.additionalHeaders({ ':status': head.status, ...headerObject(head.lines) }),
    )
  }

  respond(head: ResponseHead): void {
    if (this.#stream.destroyed) return
    const headers: OutgoingHttpHeaders = { ...headerObject(head.lines), ':status': head.status }
    if (head.length >= 0) headers['content-length'] = String(head.length)
    const waitForTrailers = head.body === CHUNKED
    if (waitForTrailers) {
      this.#stream.on('wantTrailers', () =>
        this.#try(() => this.#stream.sendTrailers(headerObject(this.#trailers))),
      )
    }
    const endStream = head.body === NO_BODY
    const sent = this.#try(() => this.#stream.respond(headers, { endStream, waitForTrailers }))
    if (sent) return
    this.#exchange?.cancel()
    this.fail('upstream-invalid')
  }

  bodyData(bytes: Buffer, from: number, to: number): void {
    if (this.#stream.writable) this.#stream.write(Buffer.from(bytes.subarray(from, to)))
  }

  flush(): boolean {
    return !this.#stream.writableNeedDrain
  }

  finish(trailers: string): void {
    this.#exchange = null
    this.#trailers = trailers
    if (this.#stream.writable) this.#stream.end()
  }

  fail(problem: Problem): void {
    this.#exchange = null
    const stream = this.#stream
    if (stream.destroyed || stream.headersSent) return
    const page = problemPage(problem, this.#request?.accept ?? '')
    const head = this.#request?.method === 'HEAD'
    stream.respond(
      {
        ':status': page.status,
        'content-type': page.type,
        'content-length': String(Buffer.byteLength(page.body)),
        'cache-control': 'no-store',
        'x-fairway-error': problem,
        ...(page.retryAfter === null ? {} : { 'retry-after': String(page.retryAfter) }),
      },
      { endStream: head },
    )
    if (!head) stream.end(page.body)
    // What is left of the request body is of no use to anyone (RFC 9113 8.1).
    if (!stream.readableEnded) stream.resume()
  }

  abort(): void {
    this.#exchange = null
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }

  // `upgrade` is never set in a request from here, so no target is asked to switch.
  upgrade(): Cut {
    throw new Error('HTTP/2 streams are not upgraded')
  }

  // HTTP/2 refuses some fields that HTTP/1 lets pass, such as two Content-Types: node:http2 throws for them.
  #try(send: () => void): boolean {
    try {
      send()
      return true
    } catch {
      return false
    }
  }

  #read(exchange: Exchange): void {
    this.#reading = true
    const stream = this.#stream
    // The head goes ahead of the body: a client may wait for 100 or for an early answer.
    exchange.flushBody()
    stream.on('data', (chunk: Buffer) => {
      exchange.sendBody(chunk, 0, chunk.length)
      if (!exchange.flushBody()) stream.pause()
    })
    stream.on('end', () => {
      if (this.#exchange !== exchange) return
      exchange.endBody('')
      exchange.flushBody()
    })
  }
}

/** RFC 9113 8.3; names and framing were checked by nghttp2, the rest goes through the rules of HTTP/1. */
export function parseHttp2Request(
  raw: readonly string[],
  bodiless: boolean,
): RequestHead | Problem {
  const { pseudo, lines } = splitFields(raw)
  if (!/^[\t\r\n\x20-\x7e\x80-\xff]*$/.test(lines)) return 'bad-request'
  const fields = parseFields(lines, 0, lines.length, REQUEST_FIELDS)
  const method = pseudo.get(':method') ?? ''
  const target = pseudo.get(':path') ?? ''
  if (method === 'CONNECT' || method === 'TRACE') return 'method-refused'
  if (!/^(?:\/[\x21\x22\x24-\x7e]*|\*)$/.test(target) || !isToken(method)) return 'bad-request'
  if (fields === null || fields.chunked || (bodiless && fields.length > 0)) return 'bad-request'
  if (!nameAuthority(fields, pseudo.get(':authority'))) return 'bad-request'
  fields.expect = ''
  fields.upgrading = false
  if (!bodiless && fields.length < 0) fields.chunked = true
  return composeRequest(method, target, 1, fields)
}

// Pseudo fields apart, crumbs of cookies together (RFC 9113 8.2.3). A value with CR or LF would become two lines: it is made invalid instead.
function splitFields(raw: readonly string[]): { pseudo: Map<string, string>; lines: string } {
  const pseudo = new Map<string, string>()
  const cookies: string[] = []
  let lines = ''
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? ''
    const value = (raw[at + 1] ?? '').replaceAll(/[\r\n]/g, '\0')
    if (name.startsWith(':')) pseudo.set(name, value)
    else if (name === 'cookie') cookies.push(value)
    else lines += `${name}: ${value}\r\n`
  }
  if (cookies.length > 0) lines += `cookie: ${cookies.join('; ')}\r\n`
  return { pseudo, lines }
}

// `:authority` stands for Host; where both are there they must agree.
function nameAuthority(fields: Fields, authority: string | undefined): boolean {
  if (authority === undefined) return fields.hosts === 1
  if (fields.hosts > 0 && fields.host.toLowerCase() !== authority.toLowerCase()) return false
  fields.hosts = 1
  fields.host = authority
  return true
}

// By way of a Map: a field named `__proto__` or `constructor` is a field like any other.
function headerObject(lines: string): Record<string, string | string[]> {
  const headers = new Map<string, string | string[]>()
  for (const line of lines.split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon <= 0) continue
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    const before = headers.get(name)
    if (before === undefined) headers.set(name, value)
    else headers.set(name, typeof before === 'string' ? [before, value] : [...before, value])
  }
  return Object.fromEntries(headers)
}
