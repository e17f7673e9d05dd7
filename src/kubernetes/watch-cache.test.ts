import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { ClusterClient } from './cluster-client.ts'
import type { Json } from './json-value.ts'
import { KINDS } from './kinds.ts'
import { ownedObject, type OwnedObject } from './owned-object.ts'
import { WatchCache, type WatchCacheOptions } from './watch-cache.ts'

/** An API server of one kind whose watches the test holds in its hand. */
class Bed {
  readonly asked: URL[] = []
  items: object[] = []
  version = 1
  watch: ServerResponse | null = null
  refuse = 0
  isMissing = false
  readonly #waiting: (() => void)[] = []
  readonly server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://api')
    this.asked.push(url)
    if (this.isMissing) {
      response.writeHead(404).end('{"message":"the server could not find the requested resource"}')
      return
    }
    if (url.searchParams.get('watch') !== 'true') {
      const metadata = { resourceVersion: String(this.version) }
      response.end(JSON.stringify({ metadata, items: this.items }))
      return
    }
    if (this.refuse > 0) {
      response.writeHead(this.refuse).end('{"message":"too old"}')
      this.refuse = 0
      return
    }
    this.watch = response
    response.writeHead(200)
    response.flushHeaders()
    for (const wake of this.#waiting.splice(0)) wake()
  })

  /** Resolves with the next watch that is opened. */
  watched(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  tell(type: string, object: object): void {
    this.watch?.write(`${JSON.stringify({ type, object })}\n`)
  }
}

function service(name: string, version: number, uid = name): Json {
  return { metadata: { namespace: 'n', name, uid, resourceVersion: String(version) } }
}

describe('watch cache', () => {
  const bed = new Bed()
  const stop = new AbortController()
  const changes: string[] = []
  const waiting: (() => void)[] = []
  let client: ClusterClient
  let cache: WatchCache<OwnedObject>
  const options: Omit<WatchCacheOptions<OwnedObject>, 'client'> = {
    kind: KINDS.Service,
    labels: 'a=b',
    metadataOnly: true,
    trim: ownedObject,
    onChange: (was, now) => {
      changes.push(`${was?.name ?? '-'} ${now === null ? 'gone' : now.resourceVersion}`)
      for (const wake of waiting.splice(0)) wake()
    },
    onContact: () => undefined,
    clock: systemClock,
    random: () => 0,
    log: silentLog,
  }
  const changed = (): Promise<void> => new Promise((resolve) => waiting.push(resolve))

  before(async () => {
    await new Promise<void>((resolve) => bed.server.listen(0, '127.0.0.1', resolve))
    const { port } = bed.server.address() as AddressInfo
    client = new ClusterClient({
      connection: {
        server: `http://127.0.0.1:${String(port)}`,
        serverName: null,
        ca: null,
        insecure: false,
        certificate: null,
        key: null,
        token: null,
        user: 'u',
        context: 'c',
      },
      clock: systemClock,
      random: () => 0,
    })
    cache = new WatchCache({ ...options, client })
  })
  after(async () => {
    stop.abort()
    await client.close()
    bed.server.closeAllConnections()
    await new Promise((resolve) => bed.server.close(resolve))
  })

  test('knows what is there, then every change once', async () => {
    bed.items = [service('one', 1)]
    const opened = bed.watched()
    void cache.follow(stop.signal)
    await cache.untilSynced()
    await opened
    assert.deepEqual(changes.splice(0), ['- 1'])
    const next = changed()
    bed.tell('ADDED', service('two', 5))
    await next
    assert.deepEqual(changes.splice(0), ['- 5'])
    assert.equal(cache.size, 2)
  })

  test('our own writes are known at once, and the news of something older changes nothing', async () => {
    cache.put(service('two', 9))
    bed.tell('MODIFIED', service('two', 7))
    const next = changed()
    bed.tell('MODIFIED', service('one', 10))
    await next
    assert.deepEqual(changes.splice(0), ['two 9', 'one 10'])
    assert.equal(cache.get('n', 'two')?.resourceVersion, '9')
  })

  test('after a broken watch it goes on from the last version', async () => {
    const opened = bed.watched()
    bed.watch?.destroy()
    await opened
    const last = bed.asked.at(-1)?.searchParams
    assert.equal(last?.get('resourceVersion'), '10')
    assert.equal(last.get('labelSelector'), 'a=b')
  })

  test('where the server forgot that version it lists again and announces the difference', async () => {
    bed.items = [service('one', 10), service('three', 12), service('two', 20, 'another')]
    bed.version = 20
    bed.refuse = 410
    const opened = bed.watched()
    bed.watch?.destroy()
    await opened
    assert.deepEqual(changes.splice(0).sort(), ['- 12', 'two 20'])
    bed.tell('DELETED', service('two', 21, 'two'))
    const next = changed()
    bed.tell('DELETED', service('three', 22))
    await next
    assert.deepEqual(changes.splice(0), ['three gone'])
    assert.equal(cache.get('n', 'two')?.uid, 'another')
  })

  test('a kind that was not there is followed as soon as one of it is written', async () => {
    bed.isMissing = true
    const late = new WatchCache({ ...options, client })
    void late.follow(stop.signal)
    await late.untilSynced()
    bed.isMissing = false
    bed.items = [service('first', 30)]
    const opened = bed.watched()
    late.put(service('first', 30))
    await opened
    assert.equal(late.get('n', 'first')?.resourceVersion, '30')
  })
})
