import type { RequestOrigin } from './downstream.ts'
import type { RequestHead } from './request-head.ts'

/** The head that a target gets: the kept fields, our own framing, and who called (X-Forwarded-* are always ours). A server outside learns none of that. */
export function upstreamRequest(
  request: RequestHead,
  origin: RequestOrigin,
  requestId: () => string,
): string {
  const { method, target, authority, lines, length, upgrade } = request
  let framing = ''
  if (length < 0) framing = 'Transfer-Encoding: chunked\r\n'
  else if (length > 0 || needsLength(method)) framing = `Content-Length: ${length}\r\n`
  if (upgrade !== '') framing += `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`
  if (request.expectContinue && length !== 0) framing += 'Expect: 100-continue\r\n'
  if (request.outside !== null) {
    return `${method} ${target} HTTP/1.1\r\nHost: ${authority}\r\n${lines}${framing}\r\n`
  }
  const id = isRequestId(request.requestId) ? request.requestId : requestId()
  return `${method} ${target} HTTP/1.1\r\nHost: ${authority}\r\n${lines}${framing}X-Forwarded-For: ${origin.remote}\r\nX-Forwarded-Proto: ${origin.scheme}\r\nX-Forwarded-Host: ${authority}\r\nX-Request-Id: ${id}\r\n\r\n`
}

// RFC 9110 8.6: methods that define a meaning for content send a length even when there is none.
function needsLength(method: string): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH'
}

function isRequestId(text: string): boolean {
  return text !== '' && text.length <= 128 && /^[A-Za-z0-9._:/+=@-]+$/.test(text)
}
