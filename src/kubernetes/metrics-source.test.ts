import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { test, type TestContext } from 'node:test'
import { FairwayError } from '../model/errors.ts'
import { parseProcessName } from '../model/names.ts'
import { MetricsSource } from './metrics-source.ts'
import { TrafficReader } from './traffic-reader.ts'
import type { Serving } from './traffic-query.ts'

const TOKEN = 'secret-token-of-metrics'

/** A server that answers as told, and a source that asks it. */
async function sourceOf(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  timeoutMs = 20_000,
): Promise<MetricsSource> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const url = `http://127.0.0.1:${String(address.port)}/prom`
  return new MetricsSource({ url, token: TOKEN, fetch: globalThis.fetch, timeoutMs })
}

const empty = JSON.stringify({ status: 'success', data: { resultType: 'vector', result: [] } })

test('a query goes as a form with the token', async (t) => {
  let seen = ''
  const source = await sourceOf(t, (request, response) => {
    seen = `${request.method ?? ''} ${request.url ?? ''} ${request.headers.authorization ?? ''}`
    request.on('data', (chunk: Buffer) => (seen += ` ${chunk.toString()}`))
    request.on('end', () => response.end(empty))
  })
  assert.deepEqual(await source.query('sum(a{b="c"})'), [])
  assert.equal(seen, `POST /prom/api/v1/query Bearer ${TOKEN} query=sum%28a%7Bb%3D%22c%22%7D%29`)
})

const bad: readonly (readonly [string, RegExp, (response: ServerResponse) => void])[] = [
  ['a login page', /answers 401/, (response) => response.writeHead(401).end('<html>')],
  ['no JSON', /no JSON/, (response) => response.end('hello')],
  [
    'a refused query',
    /parse error/,
    (response) => response.writeHead(400).end('{"status":"error","error":"parse error"}'),
  ],
  [
    'a redirect',
    /redirect/,
    (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
  ],
  ['silence', /no answer in 300 ms/, () => undefined],
  [
    'an endless answer',
    /longer than 4194304 bytes/,
    (response) => response.end('x'.repeat(5 << 20)),
  ],
  ['a broken connection', /cannot be read/, (response) => response.destroy()],
]

for (const [name, words, answer] of bad)
  test(`${name} is one clear error without the token`, async (t) => {
    const source = await sourceOf(
      t,
      (request, response) => {
        request.resume()
        answer(response)
      },
      name === 'silence' ? 300 : 20_000,
    )
    await assert.rejects(source.query('up'), (error: unknown) => {
      assert.ok(error instanceof FairwayError)
      assert.equal(error.code, 'CLUSTER_UNREACHABLE')
      assert.match(error.message, words)
      assert.doesNotMatch(JSON.stringify(error) + error.message + error.hint, /secret-token/)
      return true
    })
  })

const WEB = parseProcessName('web')
const SERVING: Serving = {
  namespace: 'shop--production',
  copies: [{ name: 'web-a-1', process: WEB, release: 1 }],
  slots: [{ workload: 'web-a', service: 'web--a', process: WEB, release: 1 }],
  probed: [],
}

test('the first family that knows of requests is asked on, so that counters are never mixed', async () => {
  let now = 0
  let istio = false
  const asked: string[] = []
  const clock = { now: () => now, elapsed: () => now, sleep: () => Promise.resolve() }
  const reader = new TrafficReader(
    {
      query: (query) => {
        const family = query.includes('istio')
          ? 'istio'
          : query.includes('http_server')
            ? 'otel'
            : ''
        asked.push(family)
        const labels = { fairway_part: 'requests' }
        if (family === 'otel' && query.includes('{pod'))
          return Promise.resolve([{ labels: { ...labels, pod: 'web-a-1' }, value: 5 }])
        if (family === 'istio' && istio)
          return Promise.resolve([
            { labels: { ...labels, destination_workload: 'web-a' }, value: 90 },
          ])
        return Promise.resolve([])
      },
    },
    clock,
  )
  const requests = async (): Promise<number | undefined> =>
    (await reader.read(SERVING))[0]?.requests
  assert.equal(await requests(), 5)
  istio = true
  asked.length = 0
  assert.equal(await requests(), 5)
  assert.deepEqual(asked, [], 'a reading serves for a while')
  now += 10_000
  assert.equal(await requests(), 5)
  assert.deepEqual(asked, ['otel'])
  now += 120_000
  assert.equal(await requests(), 90)
})
