import type { Address } from '../model/instance.ts'
import { REQUEST_FIELDS, isToken } from './field-name.ts'
import { parseFields, type Fields } from './fields.ts'
import { parseHost } from './host.ts'
import { connectTarget, NO_PROXY, proxyTarget } from './proxy-target.ts'
import type { Problem } from './problem.ts'

/** A request as the router passes it on, from whatever protocol it came. */
export interface RequestHead {
  readonly method: string
  /** Origin form: starts with `/`, or `*` for OPTIONS. */
  readonly target: string
  /** As the client wrote it, with port. */
  readonly authority: string
  /** As routes know it. */
  readonly host: string
  /** Field lines with CRLF to pass on; no hop-by-hop, framing or forwarding fields. */
  readonly lines: string
  /** Bytes of the body, 0 where there is none, -1 where it is chunked (ends by itself). */
  readonly length: number
  /** The client closes after this one, or speaks HTTP/1.0. */
  readonly close: boolean
  readonly http10: boolean
  readonly upgrade: string
  readonly expectContinue: boolean
  readonly requestId: string
  readonly accept: string
  /** Where a proxy is asked to bring it, beyond the table; null for a service. */
  readonly outside: Address | null
}

/** Parses a scanned head; `text` holds it in latin1 from its first line to its final empty line. RFC 9112 section 3, strict. `proxy`: absolute forms and CONNECT may lead outside. */
export function parseRequestHead(text: string, proxy = false): RequestHead | Problem {
  const lineEnd = text.indexOf('\r\n')
  const first = text.indexOf(' ')
  const last = lineEnd - 9
  if (first <= 0 || first >= last) return 'bad-request'
  const method = text.slice(0, first)
  if (!isToken(method)) return 'bad-request'
  const minor = parseVersion(text, last)
  if (minor < 0) return minor === -2 ? 'version-unsupported' : 'bad-request'
  const target = text.slice(first + 1, last)
  if (!isTarget(target)) return 'bad-request'
  const fields = parseFields(text, lineEnd + 2, text.length - 2, REQUEST_FIELDS)
  if (fields === null) return 'bad-request'
  if (method === 'TRACE' || (method === 'CONNECT' && !proxy)) return 'method-refused'
  if (fields.expect !== '' && fields.expect.toLowerCase() !== '100-continue') {
    return 'expectation-failed'
  }
  if (method === 'CONNECT') return composeConnect(target, minor, fields)
  return composeRequest(method, target, minor, fields, proxy)
}

/** Safe to send again where no answer came (RFC 9110 9.2.2). */
export function isIdempotent(method: string): boolean {
  return (
    method === 'GET' ||
    method === 'HEAD' ||
    method === 'OPTIONS' ||
    method === 'PUT' ||
    method === 'DELETE'
  )
}

/** Checks what must fit together: host, target and framing. `minor` is the minor version of HTTP/1; HTTP/2 counts as 1. */
export function composeRequest(
  method: string,
  target: string,
  minor: number,
  fields: Fields,
  proxy = false,
): RequestHead | Problem {
  if (fields.hosts !== 1 || (minor === 0 && fields.chunked)) return 'bad-request'
  const host = parseHost(fields.host)
  if (host === null) return 'bad-request'
  const asked = proxy ? proxyTarget(target, fields.host) : NO_PROXY
  if (typeof asked === 'string') return asked
  const origin = asked.target ?? originForm(method, target, fields.host)
  if (origin === null) return 'bad-request'
  return {
    method,
    target: origin,
    authority: fields.host,
    host,
    upgrade: upgradeOf(method, minor, fields),
    expectContinue: fields.expect !== '' && minor === 1,
    outside: asked.outside,
    lines: fields.kept,
    length: fields.chunked ? -1 : Math.max(0, fields.length),
    close: fields.close || minor === 0,
    http10: minor === 0,
    requestId: fields.requestId,
    accept: fields.accept,
  }
}

// A body means nothing here, and clients are known that send no Host.
function composeConnect(authority: string, minor: number, fields: Fields): RequestHead | Problem {
  const outside = connectTarget(authority)
  if (typeof outside === 'string') return outside
  if (fields.hosts > 1 || fields.chunked || fields.length > 0) return 'bad-request'
  return {
    method: 'CONNECT',
    target: authority,
    authority,
    host: outside.host,
    upgrade: '',
    expectContinue: false,
    outside,
    lines: fields.kept,
    length: 0,
    close: fields.close || minor === 0,
    http10: minor === 0,
    requestId: fields.requestId,
    accept: fields.accept,
  }
}

// h2c is a way around this router's parser, a request with a body cannot be upgraded safely, and lists of protocols leave open who chooses.
function upgradeOf(method: string, minor: number, fields: Fields): string {
  if (!fields.upgrading || fields.upgrade === '' || minor === 0 || method !== 'GET') return ''
  if (fields.chunked || fields.length > 0 || fields.expect !== '') return ''
  const protocol = fields.upgrade.toLowerCase()
  return isToken(protocol) && protocol !== 'h2c' ? protocol : ''
}

// Minor version; -1 = malformed, -2 = well-formed but not ours.
function parseVersion(text: string, space: number): number {
  if (text.charCodeAt(space) !== 32) return -1
  if (text.startsWith('HTTP/1.1', space + 1)) return 1
  if (text.startsWith('HTTP/1.0', space + 1)) return 0
  return /^HTTP\/[0-9]\.[0-9]$/.test(text.slice(space + 1, space + 9)) ? -2 : -1
}

function isTarget(target: string): boolean {
  for (let at = 0; at < target.length; at++) {
    const code = target.charCodeAt(at)
    if (code <= 32 || code >= 127 || code === 35) return false
  }
  return true
}

function originForm(method: string, target: string, authority: string): string | null {
  if (target.charCodeAt(0) === 47) return target
  if (target === '*') return method === 'OPTIONS' ? target : null
  const match = /^https?:\/\/([^/?]+)([/?].*)?$/i.exec(target)
  if (match === null || match[1]?.toLowerCase() !== authority.toLowerCase()) return null
  const rest = match[2] ?? '/'
  return rest.startsWith('/') ? rest : `/${rest}`
}
