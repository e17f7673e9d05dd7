import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { connect, type ClientHttp2Session, type OutgoingHttpHeaders } from 'node:http2'
import { request } from 'node:https'
import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect as tlsConnect } from 'node:tls'
import { after, before, describe, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { RouterBed } from '../../test/fakes/router-bed.ts'
import { parseHttp2Request } from './http2-exchange.ts'

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly trailers: Readonly<Record<string, unknown>>
  readonly body: string
}

describe('HTTPS', () => {
  let bed: RouterBed
  let server: Server
  let session: ClientHttp2Session
  let ca = ''
  let port = 0

  before(async () => {
    bed = await RouterBed.start({ https: { host: '127.0.0.1', port: 0 } })
    port = bed.router.addresses.https?.port ?? 0
    server = createServer((incoming, response) => {
      if (incoming.url === '/two-types') {
        incoming.socket.end(
          'HTTP/1.1 200 OK\r\nContent-Type: a\r\nContent-Type: b\r\nContent-Length: 0\r\n\r\n',
        )
        return
      }
      if (incoming.url === '/odd-names') {
        incoming.socket.end(
          'HTTP/1.1 200 OK\r\n__proto__: a\r\nconstructor: b\r\nHTTP2-Settings: c\r\ntoString: d\r\nContent-Length: 0\r\n\r\n',
        )
        return
      }
      const trailing = incoming.method === 'POST'
      if (trailing) response.setHeader('Trailer', 'X-Sum')
      response.writeHead(200, { 'X-Seen': JSON.stringify(incoming.headers) })
      incoming.on('data', (chunk) => response.write(chunk))
      incoming.on('end', () => {
        if (trailing) response.addTrailers({ 'X-Sum': '1' })
        response.end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
    await bed.publish([{ id: 't1', weight: 1, address }])
    ca = await readFile(join(bed.folder, 'state/tls/ca.pem'), 'utf8')
    session = connect(`https://app.test:${port}`, {
      ca,
      // The name is for the certificate; the address is loopback.
      createConnection: () =>
        tlsConnect({ host: '127.0.0.1', port, ca, servername: 'app.test', ALPNProtocols: ['h2'] }),
    })
  })
  after(async () => {
    session.destroy()
    await bed.close()
    server.closeAllConnections()
    server.close()
  })

  const ask = (headers: OutgoingHttpHeaders, body: string | Buffer = ''): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const stream = session.request(headers, { endStream: body.length === 0 })
      let text = ''
      let got: Record<string, unknown> = {}
      let trailers: Record<string, unknown> = {}
      stream.on('response', (fields: Record<string, unknown>) => (got = fields))
      stream.on('trailers', (fields: Record<string, unknown>) => (trailers = fields))
      stream.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
      stream.on('end', () =>
        resolve({ status: Number(got[':status']), headers: got, trailers, body: text }),
      )
      stream.on('error', reject)
      if (body.length > 0) stream.end(body)
    })

  test('streams carry bodies and trailers; the client is named', async () => {
    const answer = await ask({ ':path': '/a?b', ':method': 'POST', cookie: 'a=1; b=2' }, 'hello')
    assert.equal(answer.status, 200)
    assert.equal(answer.body, 'hello')
    assert.equal(answer.trailers['x-sum'], '1')
    const seen = JSON.parse(String(answer.headers['x-seen'])) as Record<string, string>
    assert.equal(seen['x-forwarded-proto'], 'https')
    assert.equal(seen['x-forwarded-for'], '127.0.0.1')
    assert.equal(seen['cookie'], 'a=1; b=2')
    assert.equal(seen['host'], `app.test:${port}`)
  })

  test('many streams at once, and a large body', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => ask({ ':path': `/${n}`, ':method': 'POST' }, `n${n}`)),
    )
    assert.deepEqual(
      answers.map((answer) => answer.body),
      Array.from({ length: 50 }, (_, n) => `n${n}`),
    )
    const big = Buffer.alloc(3_000_000, 'z')
    assert.equal((await ask({ ':path': '/', ':method': 'POST' }, big)).body.length, big.length)
  })

  test('fields that HTTP/2 cannot carry do not hurt the router', async () => {
    for (const odd of ['two-types', 'odd-names']) {
      const answer = await ask({ ':path': `/${odd}` })
      assert.equal(answer.status, odd === 'two-types' ? 502 : 200, odd)
    }
    assert.equal((await ask({ ':path': '/' })).status, 200)
  })

  test('unknown hosts and HEAD', async () => {
    const answer = await ask({ ':path': '/', ':authority': 'nobody.test' })
    assert.equal(answer.status, 404)
    assert.equal(answer.headers['x-fairway-error'], 'no-route')
    assert.equal((await ask({ ':path': '/', ':method': 'HEAD' })).status, 200)
  })

  test('WebSockets over TLS', async () => {
    const sockets = new WebSocketServer({ server })
    sockets.on('connection', (socket) => socket.on('message', (data: Buffer) => socket.send(data)))
    const client = new WebSocket(`wss://127.0.0.1:${port}/`, {
      createConnection: () => tlsConnect({ host: '127.0.0.1', port, ca, servername: 'app.test' }),
      headers: { host: 'app.test' },
    })
    client.once('open', () => client.send('over tls'))
    const echoed = await new Promise((resolve, reject) => {
      client.once('message', resolve)
      client.once('error', reject)
    })
    assert.equal(String(echoed), 'over tls')
    client.close()
    sockets.close()
  })

  test('HTTP/1.1 by ALPN, with a certificate for the host', async () => {
    const status = await new Promise((resolve, reject) => {
      request(
        { host: '127.0.0.1', port, servername: 'app.test', ca, headers: { host: 'app.test' } },
        (response) => {
          response.resume().on('end', () => resolve(response.statusCode))
        },
      )
        .on('error', reject)
        .end()
    })
    assert.equal(status, 200)
  })
})

test('HTTP/2 requests are held to the rules of HTTP/1', () => {
  const base = [':method', 'GET', ':path', '/', ':scheme', 'https', ':authority', 'app.test']
  const refused: readonly (readonly string[])[] = [
    [...base, 'transfer-encoding', 'chunked'],
    [...base, 'x', 'a\r\nTransfer-Encoding: chunked'],
    [...base, 'x', 'a\0'],
    [...base, 'x y', 'a'],
    [...base, 'host', 'other.test'],
    [...base, 'content-length', '5'],
    [...base, 'content_length', '5'],
    [':method', 'GET', ':path', '/a b', ':authority', 'app.test'],
    [':method', 'GET', ':path', '/a\r\nX: y', ':authority', 'app.test'],
    [':method', 'GET', ':path', 'http://app.test/', ':authority', 'app.test'],
    [':method', 'G ET', ':path', '/', ':authority', 'app.test'],
    [':method', 'GET', ':path', '/', ':authority', 'a@app.test'],
    [':method', 'GET', ':path', '/'],
  ]
  for (const raw of refused)
    assert.equal(parseHttp2Request(raw, true), 'bad-request', raw.join(' '))
  assert.equal(typeof parseHttp2Request(base, true), 'object')
  assert.equal(parseHttp2Request([':method', 'CONNECT', ':authority', 'a'], true), 'method-refused')
})
