import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { eventually, RawClient, RawServer, RouterBed } from '../../test/fakes/router-bed.ts'

const LOOPBACK = { host: '127.0.0.1', port: 0 }
const ask = (port: number, host: string): Promise<string> =>
  new RawClient(port)
    .send(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    .untilClosed()

describe('listeners', () => {
  let upstream: RawServer

  before(async () => {
    upstream = await RawServer.start((socket) => {
      socket.on('data', (head) => {
        const body = head.toString('latin1')
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
      })
    })
  })
  after(() => upstream.close())

  test('internal names are for known callers, and mean their environment', async () => {
    const bed = await RouterBed.start({ internal: LOOPBACK })
    try {
      const port = bed.router.addresses.internal?.port ?? 0
      await bed.publish([upstream.target()])
      assert.match(await ask(port, 'web.app.internal'), /^HTTP\/1\.1 403 [^]*caller-unknown/)
      await bed.publish([upstream.target()], { callers: ['127.0.0.1'] })
      for (const host of ['web.app.internal', 'app.internal', 'APP.internal.:80']) {
        assert.match(
          await ask(port, host),
          /^HTTP\/1\.1 200 [^]*X-Forwarded-For: 127\.0\.0\.1/,
          host,
        )
      }
      for (const host of [
        'worker.app.internal',
        'other.internal',
        'app.test',
        'x.web.app.internal',
      ]) {
        assert.match(await ask(port, host), /^HTTP\/1\.1 404 /, host)
      }
      // And the public listener knows no internal names.
      assert.match(await ask(bed.port, 'app.internal'), /^HTTP\/1\.1 404 /)
    } finally {
      await bed.close()
    }
  })

  test('an internal address that cannot be bound yet is bound later', async () => {
    const squatter = await RawServer.start(() => undefined)
    const bed = await RouterBed.start({ internal: { host: '127.0.0.1', port: squatter.port } })
    try {
      assert.equal(bed.router.addresses.internal, undefined)
      const { port } = squatter
      await squatter.close()
      await eventually(() => bed.router.addresses.internal?.port === port)
    } finally {
      await bed.close()
    }
  })

  test('connections are bounded per source', async () => {
    const bed = await RouterBed.start({ limits: { connectionsPerSource: 3 } })
    const clients: RawClient[] = []
    try {
      await bed.publish([upstream.target()])
      for (let count = 0; count < 3; count++) clients.push(new RawClient(bed.port))
      await eventually(async () => (await bed.control.status()).connections === 3)
      assert.equal(await ask(bed.port, 'app.test'), '')
      clients.pop()?.close()
      await eventually(async () => (await bed.control.status()).connections === 2)
      assert.match(await ask(bed.port, 'app.test'), /^HTTP\/1\.1 200 /)
    } finally {
      for (const client of clients) client.close()
      await bed.close()
    }
  })

  test('held requests are bounded per service', async () => {
    const bed = await RouterBed.start({ limits: { heldPerService: 2 } })
    try {
      await bed.publish([], { expected: true, holdMs: 20_000 })
      const held = [ask(bed.port, 'app.test'), ask(bed.port, 'app.test')]
      await eventually(async () => (await bed.control.status()).inflight === 2)
      assert.match(await ask(bed.port, 'app.test'), /^HTTP\/1\.1 503 [^]*no-target/)
      await bed.publish([upstream.target()])
      for (const answer of await Promise.all(held)) assert.match(answer, /^HTTP\/1\.1 200 /)
    } finally {
      await bed.close()
    }
  })
})
