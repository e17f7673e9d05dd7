import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { ClusterClient } from './cluster-client.ts'
import { UsageReader } from './usage.ts'

test('a cluster that takes connections and never answers holds nobody up: usage is not known then', async () => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const client = new ClusterClient({
    connection: {
      server: `https://127.0.0.1:${String(port)}`,
      serverName: null,
      ca: null,
      insecure: true,
      certificate: null,
      key: null,
      token: () => Promise.resolve('t'),
      user: 'test',
      context: 'test',
    },
    clock: systemClock,
    random: () => 0.5,
  })
  try {
    const began = performance.now()
    const usages = await new UsageReader(client).read('shop--production', [])
    assert.equal(usages.size, 0)
    assert.ok(performance.now() - began < 8_000)
  } finally {
    await client.close()
    server.close()
  }
})
