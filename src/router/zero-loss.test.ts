import assert from 'node:assert/strict'
import { Agent, createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { RouterBed } from '../../test/fakes/router-bed.ts'

const RATE_MS = 4
const SWAPS = 8

class Version {
  readonly server: Server
  readonly id: string

  constructor(id: string, posted: string[]) {
    this.id = id
    this.server = createServer({ keepAliveTimeout: 50 }, (incoming, response) => {
      const answer = (): void => {
        if (incoming.method === 'POST') posted.push(String(incoming.headers['x-number']))
        response.end(`${id} ${String(incoming.headers['x-number'])}`)
      }
      incoming.resume().on('end', () => setTimeout(answer, incoming.url === '/slow' ? 60 : 2))
    })
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get target() {
    const { port } = this.server.address() as AddressInfo
    return { id: this.id, weight: 1, address: { host: '127.0.0.1', port } }
  }

  // As rude as an app can be: everything is gone at once.
  kill(): void {
    this.server.close()
    this.server.closeAllConnections()
  }
}

test('no request is lost or repeated while versions change under load', async () => {
  const bed = await RouterBed.start()
  const posted: string[] = []
  const sentPosts: string[] = []
  const failures: string[] = []
  const pending = new Set<Promise<void>>()
  const agents = [new Agent({ keepAlive: true, maxSockets: 20 }), new Agent({ keepAlive: false })]
  let sent = 0

  const send = (number: number): Promise<void> =>
    new Promise((resolve) => {
      const method = number % 3 === 0 ? 'POST' : 'GET'
      if (method === 'POST') sentPosts.push(String(number))
      const fail = (why: string): void => {
        failures.push(`${method} ${number}: ${why}`)
        resolve()
      }
      const outgoing = request(
        {
          host: '127.0.0.1',
          port: bed.port,
          method,
          path: number % 7 === 0 ? '/slow' : '/',
          agent: agents[number % 5 === 0 ? 1 : 0],
          headers: { host: 'app.test', 'x-number': String(number) },
        },
        (response) => {
          let text = ''
          response.on('data', (chunk: Buffer) => (text += chunk.toString()))
          response.on('end', () => {
            if (response.statusCode !== 200 || !text.endsWith(` ${number}`)) {
              fail(`${String(response.statusCode)} ${text}`)
            } else resolve()
          })
          response.on('error', (error) => fail(error.message))
        },
      )
      outgoing.on('error', (error) => fail(error.message))
      outgoing.end(method === 'POST' ? 'body' : undefined)
    })

  let versions = [
    await new Version('v0a', posted).start(),
    await new Version('v0b', posted).start(),
  ]
  try {
    await bed.publish(versions.map((version) => version.target))
    // Open loop: sent by the clock, not by the answers.
    const load = setInterval(() => {
      const one = send(++sent).finally(() => pending.delete(one))
      pending.add(one)
    }, RATE_MS)
    for (let swap = 1; swap <= SWAPS; swap++) {
      const fresh = [
        await new Version(`v${swap}a`, posted).start(),
        await new Version(`v${swap}b`, posted).start(),
      ]
      await bed.publish(fresh.map((version) => version.target))
      for (const old of versions) {
        assert.deepEqual(await bed.control.drain(old.id, 5000), { cut: 0 })
        old.kill()
      }
      versions = fresh
      await sleep(100)
    }
    // A machine that does much else sends less often than it was asked to.
    while (sent <= 100) await sleep(RATE_MS)
    clearInterval(load)
    await Promise.all(pending)
    assert.deepEqual(failures, [])
    assert.equal(sent > 100, true)
    assert.deepEqual(posted.toSorted(), sentPosts.toSorted(), 'every POST exactly once')
  } finally {
    for (const agent of agents) agent.destroy()
    for (const version of versions) version.kill()
    await bed.close()
  }
})
