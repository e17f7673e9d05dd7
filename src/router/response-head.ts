import { RESPONSE_FIELDS } from './field-name.ts'
import { parseFields, type Fields } from './fields.ts'

/** How the body of a response ends (RFC 9112 6.3). */
export const NO_BODY = 0
export const CHUNKED = -1
export const UNTIL_CLOSE = -2

export interface ResponseHead {
  readonly status: number
  readonly reason: string
  /** Field lines with CRLF to pass on; no hop-by-hop or framing fields. */
  readonly lines: string
  /** Bytes of the body, or NO_BODY, CHUNKED, UNTIL_CLOSE. */
  readonly body: number
  /** Content-Length to tell the client, also where there is no body (HEAD, 304); -1 = none. */
  readonly length: number
  /** The connection can serve another request after this response. */
  readonly reusable: boolean
  /** From `Keep-Alive: timeout`, -1 where not told. */
  readonly keepAliveMs: number
  readonly upgrade: string
}

/** Parses a scanned head of an upstream's answer to `method`, as strictly as requests are. Null where it is not valid. */
export function parseResponseHead(text: string, method: string): ResponseHead | null {
  const lineEnd = text.indexOf('\r\n')
  const minor = text.startsWith('HTTP/1.1 ') ? 1 : text.startsWith('HTTP/1.0 ') ? 0 : -1
  if (minor < 0 || lineEnd < 12) return null
  const status = digits(text, 9)
  if (status < 100 || (lineEnd > 12 && text.charCodeAt(12) !== 32)) return null
  const fields = parseFields(text, lineEnd + 2, text.length - 2, RESPONSE_FIELDS)
  if (fields === null || (minor === 0 && fields.chunked)) return null
  if (status < 200 && (fields.chunked || fields.length > 0)) return null
  return compose(status, text.slice(13, lineEnd), method, minor, fields)
}

function compose(
  status: number,
  reason: string,
  method: string,
  minor: number,
  fields: Fields,
): ResponseHead {
  const bodiless = status < 200 || status === 204 || status === 304 || method === 'HEAD'
  const body = bodiless ? NO_BODY : framing(fields)
  return {
    status,
    reason,
    lines: fields.kept,
    body,
    length: status === 204 || status < 200 ? -1 : fields.length,
    reusable: body !== UNTIL_CLOSE && !fields.close && (minor === 1 || fields.keepAlive),
    keepAliveMs: fields.keepAliveValue === '' ? -1 : keepAliveMs(fields.keepAliveValue),
    upgrade: fields.upgrading ? fields.upgrade.toLowerCase() : '',
  }
}

function framing(fields: Fields): number {
  if (fields.chunked) return CHUNKED
  return fields.length >= 0 ? fields.length : UNTIL_CLOSE
}

function digits(text: string, at: number): number {
  let value = 0
  for (let index = at; index < at + 3; index++) {
    const digit = text.charCodeAt(index) - 48
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

function keepAliveMs(value: string): number {
  const match = /(?:^|[\s,])timeout\s*=\s*"?(\d{1,6})/i.exec(value)
  return match?.[1] === undefined ? -1 : Number(match[1]) * 1000
}
