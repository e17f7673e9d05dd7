import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HeadScanner } from './head-scanner.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { parseRequestHead } from './request-head.ts'

const limits = { ...DEFAULT_LIMITS, requestLineBytes: 60, headBytes: 200, headerFields: 4 }

/** Feeds the bytes in the given pieces as a connection does; the parsed head and its end, a problem, or 'more'. */
function feed(bytes: Buffer, ends: readonly number[]): unknown {
  const scanner = new HeadScanner(limits, true)
  for (const end of [...ends, bytes.length]) {
    const scan = scanner.scan(bytes, 0, end)
    if (scan === 'more') continue
    if (scan !== 'whole') return scan
    const text = bytes.toString('latin1', scanner.start, scanner.length)
    return { head: parseRequestHead(text), end: scanner.length }
  }
  return 'more'
}

const piece = fc.constantFrom(
  'GET ',
  'POST /a',
  ' HTTP/1.1',
  ' HTTP/1.0',
  '\r\n',
  '\r\n',
  '\r',
  '\n',
  'Host: a.test',
  'Host : a',
  'Content-Length: 5',
  'Transfer-Encoding: chunked',
  'Connection: close, x-a',
  'X-A: b',
  ' folded',
  '\0',
  '\x7f',
  'x'.repeat(70),
  '/b?c=d',
  ': ',
  '\t',
  'é',
)
const wellFormed = fc
  .array(fc.constantFrom('X-A: 1\r\n', 'Accept: */*\r\n', 'Content-Length: 3\r\n', 'TE: x\r\n'), {
    maxLength: 3,
  })
  .map((lines) => `GET /a HTTP/1.1\r\nHost: a.test\r\n${lines.join('')}\r\n`)
const anyHead = fc.oneof(
  fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join('')),
  fc.tuple(wellFormed, fc.nat(80), piece).map(([head, at, junk]) => {
    return head.slice(0, at) + junk + head.slice(at)
  }),
  wellFormed,
)

test('a head gives the same result however it is cut', () => {
  fc.assert(
    fc.property(anyHead, fc.array(fc.nat(250), { maxLength: 6 }), (text, cuts) => {
      const bytes = Buffer.from(text, 'latin1')
      const whole = feed(bytes, [])
      const every = Array.from({ length: bytes.length }, (_, index) => index + 1)
      assert.deepEqual(feed(bytes, every), whole)
      const ends = cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b)
      assert.deepEqual(feed(bytes, ends), whole)
    }),
    { numRuns: 2000 },
  )
})

test('a real head is taken apart', () => {
  const head = parseRequestHead(
    'GET /p?q HTTP/1.1\r\nHost: A.Test:80\r\nUser-Agent: u\r\nConnection: keep-alive, X-Hop\r\n' +
      'X-Hop: gone\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_Proto: https\r\nForwarded: for=1\r\n' +
      'Accept: a, b\r\nX-Kept:  spaced \r\nX-Request-Id: abc\r\n\r\n',
  )
  assert.deepEqual(head, {
    method: 'GET',
    target: '/p?q',
    authority: 'A.Test:80',
    host: 'a.test',
    lines: 'User-Agent: u\r\nAccept: a, b\r\nX-Kept:  spaced \r\n',
    length: 0,
    close: false,
    http10: false,
    upgrade: '',
    expectContinue: false,
    requestId: 'abc',
    accept: 'a, b',
    outside: null,
  })
})

test('limits answer with their own problem', () => {
  const head = (rest: string): Buffer => Buffer.from(`GET / HTTP/1.1\r\n${rest}`)
  assert.equal(feed(Buffer.from(`GET /${'a'.repeat(70)} HTTP/1.1\r\n\r\n`), []), 'uri-too-long')
  assert.equal(feed(head(`Host: a\r\nX: ${'a'.repeat(250)}\r\n\r\n`), []), 'head-too-large')
  assert.equal(feed(head(`Host: a\r\n${'X: a\r\n'.repeat(4)}\r\n`), []), 'head-too-large')
  assert.equal(feed(head('Host: a\r\n'), []), 'more')
})
