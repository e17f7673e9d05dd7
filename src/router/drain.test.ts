import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { FairwayError } from '../model/errors.ts'
import type { Target } from '../model/traffic.ts'
import { eventually, RawClient, RouterBed } from '../../test/fakes/router-bed.ts'

describe('drain', () => {
  let bed: RouterBed
  let server: Server
  let sockets: WebSocketServer
  /** Answers the request that the app holds; null before it has it. */
  let release: (() => void) | null = null
  const closeCodes: number[] = []
  let target: Target

  before(async () => {
    bed = await RouterBed.start()
    server = createServer((request, response) => {
      if (request.url === '/slow') release = () => response.end('done')
      else response.end('ok')
    })
    sockets = new WebSocketServer({ server })
    sockets.on('connection', (socket) => {
      socket.on('message', (data, binary) => socket.send(data, { binary }))
      socket.on('close', (code) => closeCodes.push(code))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    target = { id: 't1', weight: 1, address: { host: '127.0.0.1', port } }
  })
  after(async () => {
    await bed.close()
    sockets.close()
    server.closeAllConnections()
    server.close()
  })

  const slow = async (): Promise<RawClient> => {
    release = null
    const client = new RawClient(bed.port)
    client.send('GET /slow HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n')
    await eventually(() => release !== null)
    return client
  }
  const open = async (): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://127.0.0.1:${bed.port}/`, { headers: { host: 'app.test' } })
    await new Promise((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    return socket
  }

  test('a target in the table is not drained', async () => {
    await bed.publish([target])
    await assert.rejects(
      bed.control.drain('t1', 10),
      (error) => error instanceof FairwayError && error.code === 'CONFLICT',
    )
    assert.deepEqual(await bed.control.drain('never-heard-of', 10), { cut: 0 })
  })

  test('it ends with the last request', async () => {
    await bed.publish([target])
    const client = await slow()
    await bed.publish([])
    let drained = false
    const drain = bed.control.drain('t1', 20_000).then((result) => {
      drained = true
      return result
    })
    assert.match(
      await new RawClient(bed.port)
        .send('GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n')
        .untilClosed(),
      / 503 /,
    )
    assert.equal(drained, false)
    release?.()
    assert.match(await client.untilClosed(), /done/)
    assert.deepEqual(await drain, { cut: 0 })
  })

  test('at the deadline requests are cut with 503', async () => {
    await bed.publish([target])
    const client = await slow()
    await bed.publish([])
    assert.deepEqual(await bed.control.drain('t1', 50), { cut: 1 })
    assert.match(await client.untilClosed(), /^HTTP\/1\.1 503 [^]*drained/)
    assert.deepEqual(await bed.control.load(), [])
  })

  test('WebSockets carry bytes both ways and are told 1001 on both sides', async () => {
    await bed.publish([target])
    const socket = await open()
    const big = Buffer.alloc(300_000, 'x')
    for (const message of ['hello', big, Buffer.alloc(200, 'y')]) {
      const echoed = new Promise((resolve) => socket.once('message', resolve))
      socket.send(message)
      assert.deepEqual(await echoed, Buffer.from(message as string))
    }
    closeCodes.length = 0
    await bed.publish([])
    const closed = new Promise((resolve) => socket.once('close', resolve))
    const drain = bed.control.drain('t1', 50)
    assert.equal(await closed, 1001)
    assert.deepEqual(await drain, { cut: 1 })
    await eventually(() => closeCodes.length === 1)
    assert.deepEqual(closeCodes, [1001])
  })

  test('a WebSocket that ends by itself lets the drain end', async () => {
    await bed.publish([target])
    const socket = await open()
    await bed.publish([])
    const drain = bed.control.drain('t1', 20_000)
    socket.close(1000)
    assert.deepEqual(await drain, { cut: 0 })
  })
})
