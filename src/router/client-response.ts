import { problemPage, PROBLEMS, type Problem } from './problem.ts'
import type { RequestHead } from './request-head.ts'
import type { ResponseHead } from './response-head.ts'

/** The head that an HTTP/1 client gets for a target's answer. */
export function clientResponse(head: ResponseHead, chunked: boolean, last: boolean): string {
  let framing = ''
  if (chunked) framing = 'Transfer-Encoding: chunked\r\n'
  else if (head.length >= 0) framing = `Content-Length: ${head.length}\r\n`
  if (last) framing += 'Connection: close\r\n'
  return `HTTP/1.1 ${head.status} ${head.reason}\r\n${head.lines}${framing}\r\n`
}

/** The router's own answer, whole; without body for HEAD. */
export function problemResponse(
  problem: Problem,
  request: RequestHead | null,
  close: boolean,
): string {
  const page = problemPage(problem, request?.accept ?? '')
  const retry = page.retryAfter === null ? '' : `Retry-After: ${page.retryAfter}\r\n`
  const allow = problem === 'method-refused' ? 'Allow: GET, HEAD, POST, PUT, DELETE\r\n' : ''
  const body = request?.method === 'HEAD' ? '' : page.body
  return `HTTP/1.1 ${page.status} ${REASONS[problem]}\r\nContent-Type: ${page.type}\r\nContent-Length: ${Buffer.byteLength(page.body)}\r\nCache-Control: no-store\r\nX-Fairway-Error: ${problem}\r\n${retry}${allow}${close ? 'Connection: close\r\n' : ''}\r\n${body}`
}

const REASONS: Readonly<Record<Problem, string>> = Object.freeze(reasons())

function reasons(): Record<Problem, string> {
  const names = Object.keys(PROBLEMS) as Problem[]
  return Object.fromEntries(names.map((name) => [name, name.replaceAll('-', ' ')])) as Record<
    Problem,
    string
  >
}
