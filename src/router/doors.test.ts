import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { freePorts } from '../../test/e2e/private-platform.ts'
import type { Target } from '../model/traffic.ts'
import { eventually, RawClient, RouterBed } from '../../test/fakes/router-bed.ts'
import { startRouter } from './router.ts'

const ABSOLUTE = 'GET http://app.internal/a?b HTTP/1.1\r\nHost: app.internal\r\n\r\n'
const own = Object.values(networkInterfaces())
  .flat()
  .find((one) => one?.family === 'IPv4' && !one.internal)?.address

describe('the door of an instance', () => {
  let app: Server
  let target: Target
  let bed: RouterBed
  let door = 0

  before(async () => {
    app = createServer((request, response) => {
      const { host, 'x-forwarded-for': from = 'nobody' } = request.headers
      response.end(`${String(request.url)} at ${String(host)} for ${String(from)}`)
    })
    app.on('upgrade', (_request, socket) => {
      socket.on('error', () => undefined)
      socket.end(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nhi',
      )
    })
    await new Promise<void>((done) => app.listen(0, done))
    const { port } = app.address() as AddressInfo
    target = { id: 't1', weight: 1, address: { host: '127.0.0.1', port } }
  })
  after(() => {
    app.closeAllConnections()
    app.close()
  })
  beforeEach(async () => {
    door = (await freePorts(1))[0] ?? 0
    bed = await RouterBed.start()
    await bed.publish([target], { callers: [`127.0.0.1:${String(door)}`] })
  })
  afterEach(() => bed.close())

  const say = async (text: string, done: (received: string) => boolean): Promise<string> => {
    const client = new RawClient(door).send(text)
    try {
      return await client.until(done)
    } finally {
      client.socket.destroy()
    }
  }
  const status = async (text: string): Promise<number> =>
    Number(/^HTTP\/1\.1 (\d+)/.exec(await say(text, (got) => got.includes('\r\n\r\n')))?.[1])
  const get = (url: string, host = new URL(url).host): Promise<number> =>
    status(`GET ${url} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)

  test('takes internal names in absolute form, in origin form, and behind CONNECT', async () => {
    const origin = 'GET /a?b HTTP/1.1\r\nHost: app.internal\r\n\r\n'
    const connect =
      'CONNECT app.internal:80 HTTP/1.1\r\nHost: app.internal\r\nConnection: close\r\n\r\n'
    const without = 'CONNECT app.internal:80 HTTP/1.0\r\n\r\n'
    for (const text of [ABSOLUTE, origin, connect + origin, without + origin]) {
      assert.match(
        await say(text, (got) => got.includes('nobody') || got.includes(' for ')),
        /\/a\?b at app\.internal for 127\.0\.0\.1$/,
      )
    }
    const twice = await say(connect + origin + origin, (got) => got.split(' for ').length === 3)
    assert.equal(twice.split('HTTP/1.1 200').length, 4)
  })

  test('an upgrade goes through', async () => {
    const upgrade =
      'GET http://web.app.internal/ HTTP/1.1\r\nHost: web.app.internal\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n'
    assert.match(await say(upgrade, (got) => got.endsWith('hi')), /^HTTP\/1\.1 101 /)
  })

  test('other names, ports and hosts are refused as without a door', async () => {
    assert.equal(await get('http://nobody.internal/'), 404)
    assert.equal(await get('http://worker.app.internal/'), 404)
    assert.equal(await get('http://app.internal:8080/'), 404)
    assert.equal(await get('http://app.internal:80/', 'app.internal'), 200)
    assert.equal(await get('http://app.internal/', 'other.internal'), 400)
    assert.equal(
      await status('CONNECT app.internal:443 HTTP/1.1\r\nHost: app.internal\r\n\r\n'),
      404,
    )
    assert.equal(await status('CONNECT app.internal HTTP/1.1\r\nHost: app.internal\r\n\r\n'), 400)
    assert.equal(
      await status(
        'POST http://app.internal/ HTTP/1.1\r\nHost: app.internal\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      ),
      400,
    )
  })

  test('a public listener is no proxy', async () => {
    const client = new RawClient(bed.port).send('CONNECT app.test:80 HTTP/1.1\r\nHost: a\r\n\r\n')
    assert.match(await client.until((got) => got.includes('\r\n\r\n')), /^HTTP\/1\.1 405 /)
    client.socket.destroy()
  })

  test('programs of this machine are not called through it', async () => {
    for (const host of ['127.0.0.1', 'localhost', '[::1]', '0.0.0.0', '127.1'])
      assert.equal(await get(`http://${host}:${String(bed.port)}/`, host), 403, host)
    assert.equal(await status(`CONNECT 127.0.0.1:${String(bed.port)} HTTP/1.1\r\n\r\n`), 403)
    assert.equal(await get('http://no-such-name.invalid/'), 502)
  })

  test(
    'what leads outside is brought there as it is',
    { skip: own === undefined && 'needs an address besides loopback' },
    async () => {
      const outside = `${String(own)}:${String(target.address.port)}`
      const plain = 'GET /x HTTP/1.1\r\nHost: other\r\n\r\n'
      const body = `GET http://${outside}/x HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n`
      const connect = `CONNECT ${outside} HTTP/1.1\r\n\r\n`
      for (const text of [body, connect + plain])
        assert.match(await say(text, (got) => got.includes(' for ')), /\/x at other for nobody$/)
      assert.equal(await get(`http://${String(own)}:1/`), 502)
      assert.equal(await status(`CONNECT ${String(own)}:1 HTTP/1.1\r\n\r\n`), 502)
      assert.deepEqual(
        (await bed.control.load()).map(({ id }) => id),
        ['t1'],
      )
    },
  )

  test('closes when its caller is gone, and what is in flight ends by itself', async () => {
    await bed.publish([target])
    const client = new RawClient(door)
    await client.until(() => false)
    assert.equal(client.received, '')
  })

  test('the next router opens the same', async () => {
    await bed.router.close()
    const next = await startRouter({
      stateDir: `${bed.folder}/state`,
      controlSocket: `${bed.folder}/control.sock`,
      http: bed.router.addresses.http,
    })
    assert.match(await say(ABSOLUTE, (got) => got.includes(' for ')), / 200 /)
    await next.close()
  })

  test('a port that is taken is tried again', async () => {
    const taken = createServer((_request, response) => response.end('someone else'))
    const port = (await freePorts(1))[0] ?? 0
    await new Promise<void>((done) => taken.listen(port, '127.0.0.1', done))
    await bed.publish([target], { callers: [`127.0.0.1:${String(port)}`] })
    taken.closeAllConnections()
    await new Promise((done) => taken.close(done))
    door = port
    await eventually(async () => (await get('http://app.internal/')) === 200)
  })
})
