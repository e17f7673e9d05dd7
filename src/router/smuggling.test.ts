import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { RawClient, RawServer, RouterBed } from '../../test/fakes/router-bed.ts'

const HOST = 'Host: app.test\r\n'
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n'
const get = (fields: string, rest = ''): string => `GET / HTTP/1.1\r\n${fields}\r\n${rest}`
const post = (fields: string, rest: string): string =>
  `POST / HTTP/1.1\r\n${HOST}${fields}\r\n${rest}`

/** What must be refused, with its status; nothing of it may reach a target as a second request. */
const REFUSED: readonly (readonly [string, number, string])[] = [
  [
    'CL and TE',
    400,
    post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`),
  ],
  [
    'TE and CL',
    400,
    post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `0\r\n\r\n${SMUGGLED}`),
  ],
  ['two CL that differ', 400, post('Content-Length: 0\r\nContent-Length: 46\r\n', SMUGGLED)],
  ['two CL that agree', 400, post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello')],
  ['CL list', 400, post('Content-Length: 5, 5\r\n', 'hello')],
  ['CL plus sign', 400, post('Content-Length: +5\r\n', 'hello')],
  ['CL minus', 400, post('Content-Length: -5\r\n', 'hello')],
  ['CL hex', 400, post('Content-Length: 0x5\r\n', 'hello')],
  ['CL with blank inside', 400, post('Content-Length: 1 0\r\n', 'hello')],
  ['CL empty', 400, post('Content-Length:\r\n', 'hello')],
  ['CL fraction', 400, post('Content-Length: 5.0\r\n', 'hello')],
  ['CL underscore digits', 400, post('Content-Length: 1_0\r\n', 'hello')],
  ['CL too large', 400, post('Content-Length: 9999999999999999999\r\n', 'hello')],
  ['CL by underscore name', 400, post('Content_Length: 46\r\n', SMUGGLED)],
  ['CL name with trailing blank', 400, post('Content-Length : 46\r\n', SMUGGLED)],
  ['CL name with tab', 400, post('Content-Length\t: 46\r\n', SMUGGLED)],
  ['CL folded', 400, post('Content-Length:\r\n 46\r\n', SMUGGLED)],
  ['TE identity', 400, post('Transfer-Encoding: identity\r\n', SMUGGLED)],
  ['TE gzip, chunked', 400, post('Transfer-Encoding: gzip, chunked\r\n', `0\r\n\r\n`)],
  ['TE chunked, identity', 400, post('Transfer-Encoding: chunked, identity\r\n', `0\r\n\r\n`)],
  ['TE chunked, chunked', 400, post('Transfer-Encoding: chunked, chunked\r\n', `0\r\n\r\n`)],
  [
    'TE twice',
    400,
    post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n`),
  ],
  [
    'TE twice, second nonsense',
    400,
    post('Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n', `0\r\n\r\n`),
  ],
  ['TE xchunked', 400, post('Transfer-Encoding: xchunked\r\n', `0\r\n\r\n`)],
  ['TE quoted', 400, post('Transfer-Encoding: "chunked"\r\n', `0\r\n\r\n`)],
  ['TE with parameter', 400, post('Transfer-Encoding: chunked;q=1\r\n', `0\r\n\r\n`)],
  ['TE with vertical tab', 400, post('Transfer-Encoding: \x0bchunked\r\n', `0\r\n\r\n`)],
  ['TE with NUL', 400, post('Transfer-Encoding: chunked\0\r\n', `0\r\n\r\n`)],
  ['TE name with blank', 400, post('Transfer-Encoding : chunked\r\n', `0\r\n\r\n`)],
  ['TE behind a leading blank', 400, post(' Transfer-Encoding: chunked\r\n', `0\r\n\r\n`)],
  ['TE behind a bare LF', 400, post('X: y\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n`)],
  ['TE behind a bare CR', 400, post('X: y\rTransfer-Encoding: chunked\r\n', `0\r\n\r\n`)],
  ['TE folded', 400, post('Transfer-Encoding:\r\n chunked\r\n', `0\r\n\r\n`)],
  ['TE by underscore name', 400, post('Transfer_Encoding: chunked\r\n', `0\r\n\r\n`)],
  ['TE empty', 400, post('Transfer-Encoding:\r\n', `0\r\n\r\n`)],
  ['TE in HTTP/1.0', 400, `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['bare LF lines', 400, 'GET / HTTP/1.1\nHost: app.test\n\n'],
  ['bare LF at the end of the head', 400, `GET / HTTP/1.1\r\n${HOST}\n`],
  ['bare CR in a value', 400, get(`${HOST}X: a\rb\r\n`)],
  ['NUL in a value', 400, get(`${HOST}X: a\0b\r\n`)],
  ['NUL in a name', 400, get(`${HOST}X\0: a\r\n`)],
  ['DEL in a value', 400, get(`${HOST}X: a\x7fb\r\n`)],
  ['folded field', 400, get(`${HOST}X: a\r\n b\r\n`)],
  ['line without colon', 400, get(`${HOST}X\r\n`)],
  ['empty field name', 400, get(`${HOST}: x\r\n`)],
  ['field name with blank', 400, get(`${HOST}X Y: a\r\n`)],
  ['field name with parenthesis', 400, get(`${HOST}X(: a\r\n`)],
  ['field name not ASCII', 400, get(`${HOST}X\xe9: a\r\n`)],
  ['blank before the first field', 400, get(` ${HOST}`)],
  ['no Host', 400, get('')],
  ['two Hosts', 400, get(`${HOST}Host: other.test\r\n`)],
  ['two equal Hosts', 400, get(`${HOST}${HOST}`)],
  ['empty Host', 400, get('Host:\r\n')],
  ['Host with path', 400, get('Host: app.test/x\r\n')],
  ['Host with user', 400, get('Host: x@app.test\r\n')],
  ['Host list', 400, get('Host: app.test, other.test\r\n')],
  ['Host with blank', 400, get('Host: app.test x\r\n')],
  ['Host with bad port', 400, get('Host: app.test:8a\r\n')],
  ['Host by underscore name beside it', 400, get('HOST: app.test\r\nHost : x\r\n')],
  ['HTTP/1.0 without Host', 400, 'GET / HTTP/1.0\r\n\r\n'],
  ['absolute form for another host', 400, `GET http://other.test/ HTTP/1.1\r\n${HOST}\r\n`],
  ['absolute form with user', 400, `GET http://a@app.test/ HTTP/1.1\r\n${HOST}\r\n`],
  ['absolute form of another scheme', 400, `GET ftp://app.test/ HTTP/1.1\r\n${HOST}\r\n`],
  ['authority form', 400, `GET app.test:80 HTTP/1.1\r\n${HOST}\r\n`],
  ['asterisk with GET', 400, `GET * HTTP/1.1\r\n${HOST}\r\n`],
  ['CONNECT', 405, 'CONNECT app.test:80 HTTP/1.1\r\nHost: app.test:80\r\n\r\n'],
  ['TRACE', 405, `TRACE / HTTP/1.1\r\n${HOST}\r\n`],
  ['two blanks in the request line', 400, `GET  / HTTP/1.1\r\n${HOST}\r\n`],
  ['tab in the request line', 400, `GET\t/ HTTP/1.1\r\n${HOST}\r\n`],
  ['blank in the target', 400, `GET /a b HTTP/1.1\r\n${HOST}\r\n`],
  ['fragment in the target', 400, `GET /a#b HTTP/1.1\r\n${HOST}\r\n`],
  ['target not ASCII', 400, `GET /\xe9 HTTP/1.1\r\n${HOST}\r\n`],
  ['blank after the version', 400, `GET / HTTP/1.1 \r\n${HOST}\r\n`],
  ['method with colon', 400, `GE:T / HTTP/1.1\r\n${HOST}\r\n`],
  ['no method', 400, ` / HTTP/1.1\r\n${HOST}\r\n`],
  ['HTTP/0.9', 400, `GET /\r\n\r\n`],
  ['lower-case version', 400, `GET / http/1.1\r\n${HOST}\r\n`],
  ['version 1.10', 400, `GET / HTTP/1.10\r\n${HOST}\r\n`],
  ['version 2.0', 505, `GET / HTTP/2.0\r\n${HOST}\r\n`],
  ['HTTP/2 preface', 505, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['TLS on the plain port', 400, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['two empty lines first', 400, `\r\n\r\nGET / HTTP/1.1\r\n${HOST}\r\n`],
  ['Expect unknown', 417, post('Expect: cow\r\nContent-Length: 1\r\n', 'x')],
  ['Connection not a token', 400, get(`${HOST}Connection: a b\r\n`)],
  ['request line over 8 KB', 414, `GET /${'a'.repeat(9000)} HTTP/1.1\r\n${HOST}\r\n`],
  ['head over 16 KB', 431, get(`${HOST}X: ${'a'.repeat(17_000)}\r\n`)],
  ['endless head', 431, `GET / HTTP/1.1\r\n${'X: a\r\n'.repeat(5000)}`],
  ['too many fields', 431, get(`${HOST}${'X: a\r\n'.repeat(120)}`)],
]

/** Bodies that break off inside: the target may have seen the head, but never a second request. */
const CHUNKED_ABUSE: readonly (readonly [string, string])[] = [
  ['size with blank', '5 \r\nhello\r\n0\r\n\r\n'],
  ['size with 0x', '0x5\r\nhello\r\n0\r\n\r\n'],
  ['size with sign', '+5\r\nhello\r\n0\r\n\r\n'],
  ['size overflow', 'fffffffffffffffff\r\nhello\r\n0\r\n\r\n'],
  ['no size', '\r\nhello\r\n0\r\n\r\n'],
  ['LF after size', '5\nhello\r\n0\r\n\r\n'],
  ['LF in extension', `5;a\nhello\r\n0\r\n\r\n`],
  ['CR alone in extension', '5;a\rb\r\nhello\r\n0\r\n\r\n'],
  ['NUL in extension', '5;\0\r\nhello\r\n0\r\n\r\n'],
  ['extension too long', `5;${'a'.repeat(2000)}\r\nhello\r\n0\r\n\r\n`],
  ['data longer than size', '3\r\nhello\r\n0\r\n\r\n'],
  ['data ended by LF', '5\r\nhello\n0\r\n\r\n'],
  ['trailer folded', '0\r\nX: a\r\n b\r\n\r\n'],
  ['trailer with blank in name', `0\r\nX Y: a\r\n\r\n`],
  ['trailer by LF', '0\r\nX: a\n\r\n'],
]

/** What is fine, and how the target sees it. */
const PASSED: readonly (readonly [string, string, RegExp])[] = [
  ['one empty line first', `\r\n${get(HOST)}`, /^GET \/ HTTP\/1\.1\r\nHost: app\.test\r\n/],
  [
    'absolute form',
    `GET http://app.test/p?q HTTP/1.1\r\n${HOST}\r\n`,
    /^GET \/p\?q HTTP\/1\.1\r\n/,
  ],
  [
    'absolute form without path',
    `GET http://app.test HTTP/1.1\r\n${HOST}\r\n`,
    /^GET \/ HTTP\/1\.1\r\n/,
  ],
  ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, /^OPTIONS \* HTTP\/1\.1\r\n/],
  [
    'chunk extension',
    post('Transfer-Encoding: chunked\r\n', '5;a=b\r\nhello\r\n0\r\n\r\n'),
    /\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/,
  ],
  [
    'TE in upper case',
    post('Transfer-Encoding: CHUNKED\r\n', '5\r\nhello\r\n0\r\n\r\n'),
    /Transfer-Encoding: chunked\r\n/,
  ],
  ['tab before a value', get(`Host:\tapp.test\t\r\n`), /\r\nHost: app\.test\r\n/],
  ['obs-text in a value', get(`${HOST}X: \xe9\r\n`), /\r\nX: \xe9\r\n/],
  ['HTTP/1.0', `GET / HTTP/1.0\r\n${HOST}\r\n`, /^GET \/ HTTP\/1\.1\r\n/],
  ['Host with port and dot', get('Host: APP.test.:80\r\n'), /\r\nHost: APP\.test\.:80\r\n/],
  [
    'Connection cannot remove what we add',
    get(`${HOST}Connection: close, X-Forwarded-For, Host, X-Request-Id\r\n`),
    /\r\nHost: app.test\r\n[^]*X-Forwarded-For: 127\.0\.0\.1\r\n[^]*X-Request-Id: /,
  ],
  [
    'forwarding fields are ours',
    get(
      `${HOST}X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n`,
    ),
    /^(?![^]*6\.6\.6\.6)(?![^]*evil)[^]*X-Forwarded-For: 127\.0\.0\.1\r\n/,
  ],
  [
    'h2c is not offered',
    get(`${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n`),
    /^(?![^]*[Uu]pgrade)(?![^]*HTTP2)/,
  ],
]

describe('requests that two parsers could read differently', () => {
  let bed: RouterBed
  let upstream: RawServer
  let seen: string[] = []

  before(async () => {
    bed = await RouterBed.start({ limits: { stallTimeoutMs: 2000 } })
    upstream = await RawServer.start((socket) => {
      let input = ''
      socket.on('data', (chunk) => {
        input += chunk.toString('latin1')
        const whole = /Transfer-Encoding/.test(input) ? /\r\n0\r\n\r\n$/ : /\r\n\r\n/
        if (!whole.test(input)) return
        seen.push(input)
        input = ''
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      })
    })
    await bed.publish([upstream.target()])
  })
  after(async () => {
    await bed.close()
    await upstream.close()
  })

  for (const [name, status, text] of REFUSED) {
    test(`${name}: ${status}`, async () => {
      seen = []
      const client = new RawClient(bed.port).send(text)
      const answer = await client.untilClosed()
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `))
      assert.match(answer, /\r\nConnection: close\r\n/)
      assert.equal(answer.split('HTTP/1.1 ').length, 2, 'one answer only')
      assert.deepEqual(seen, [])
    })
  }

  for (const [name, body] of CHUNKED_ABUSE) {
    test(`chunked: ${name}`, async () => {
      seen = []
      const text = post('Transfer-Encoding: chunked\r\n', body + SMUGGLED)
      const answer = await new RawClient(bed.port).send(text).untilClosed()
      assert.match(answer, /^HTTP\/1\.1 400 /)
      assert.equal(answer.split('HTTP/1.1 ').length, 2, 'one answer only')
      assert.deepEqual(seen, [])
    })
  }

  for (const [name, text, expected] of PASSED) {
    test(`${name} is passed on`, async () => {
      seen = []
      const client = new RawClient(bed.port).send(text)
      const answer = await client.until((received) => received.endsWith('ok'))
      client.close()
      assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
      assert.equal(seen.length, 1)
      assert.match(seen[0] ?? '', expected)
    })
  }
})
