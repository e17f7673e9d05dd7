import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ImageStore } from '../oci/image-store.ts'
import { eventually } from '../../test/fakes/router-bed.ts'
import { createRegistry, type Registry } from './registry.ts'

const MAX_UPLOADS = 8
const TTL_MS = 60_000
const scratch = mkdtempSync(join(tmpdir(), 'fairway-hostile-push-'))
let registry: Registry
let server: Server
let port = 0
let time = Date.now()

before(async () => {
  registry = createRegistry({
    images: await ImageStore.open({ root: join(scratch, 'store') }),
    randomId: randomUUID,
    now: () => time,
    limits: { maxBlobBytes: 1 << 20, uploadTtlMs: TTL_MS, maxUploads: MAX_UPLOADS },
    // Everybody owns `mine` alone.
    authorize: (_request, _action, repository) =>
      Promise.resolve(repository.startsWith('mine/') || repository === '' ? 'ok' : 'denied'),
  })
  server = createServer((request, response) => {
    void registry.handle(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  port = address.port
})
after(async () => {
  await registry.close()
  server.closeAllConnections()
  server.close()
  rmSync(scratch, { recursive: true, force: true })
})

async function call(method: string, path: string, init: RequestInit = {}): Promise<Response> {
  return await fetch(new URL(path, `http://127.0.0.1:${String(port)}`), { method, ...init })
}

function digestOf(bytes: string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** Files of uploads that are neither finished nor given up. */
function drafts(): readonly string[] {
  return readdirSync(join(scratch, 'store'), { recursive: true, encoding: 'utf8' }).filter((path) =>
    /(?:^|\/)(?:tmp|uploads|drafts)\/./.test(path),
  )
}

test('uploads opened at once are limited like those opened one after the other; forgotten ones end', async () => {
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => call('POST', '/v2/mine/flood/blobs/uploads/')),
  )
  const taken = answers.filter(({ status }) => status === 202).length
  assert.equal(taken, MAX_UPLOADS)
  assert.ok(answers.every(({ status }) => status === 202 || status === 429))
  time += TTL_MS + 1
  const next = await call('POST', '/v2/mine/flood/blobs/uploads/')
  assert.equal(next.status, 202)
  await call('DELETE', next.headers.get('location') ?? '')
  assert.deepEqual(drafts(), [])
})

test('a whole upload that breaks off leaves nothing and takes nobody’s place', async () => {
  for (let count = 0; count < MAX_UPLOADS * 2; count++) {
    const socket = connect({ host: '127.0.0.1', port })
    socket.on('error', () => undefined)
    const path = `/v2/mine/broken/blobs/uploads/?digest=${digestOf('never')}`
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(500)}`,
    )
    await eventually(() => drafts().length > 0)
    socket.destroy()
    await eventually(() => drafts().length === 0)
  }
  const next = await call('POST', '/v2/mine/broken/blobs/uploads/')
  assert.equal(next.status, 202)
  await call('DELETE', next.headers.get('location') ?? '')
})

test('a whole upload that lasts is not taken for a forgotten one', async () => {
  const body = 'slow and steady'
  const socket = connect({ host: '127.0.0.1', port })
  let received = ''
  socket.on('data', (chunk) => (received += chunk.toString()))
  const path = `/v2/mine/slow/blobs/uploads/?digest=${digestOf(body)}`
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${String(body.length)}\r\n\r\n`
  socket.write(head + body.slice(0, 4))
  await eventually(() => drafts().length > 0)
  time += TTL_MS + 1
  const other = await call('POST', '/v2/mine/slow/blobs/uploads/')
  await call('DELETE', other.headers.get('location') ?? '')
  socket.write(body.slice(4))
  await eventually(() => received.includes('\r\n\r\n'))
  socket.destroy()
  assert.match(received, /^HTTP\/1\.1 201 /)
})

test('chunks that overlap, leave a gap or are turned round are refused and change nothing', async () => {
  const opened = await call('POST', '/v2/mine/chunks/blobs/uploads/')
  const at = opened.headers.get('location') ?? ''
  const patch = (range: string, body: string): Promise<Response> =>
    call('PATCH', at, { headers: { 'content-range': range }, body })
  assert.equal((await patch('0-3', 'abcd')).status, 202)
  for (const [range, body] of [
    ['2-5', 'cdef'],
    ['9-12', 'xxxx'],
    ['3-0', 'dcba'],
    ['4-9', 'ef'],
    ['0-3', 'abcd'],
    ['-4--1', 'efgh'],
    ['4-99999999999999999999', 'ef'],
  ] as const) {
    const { status } = await patch(range, body)
    assert.ok(status === 416 || status === 400, `${range}: ${String(status)}`)
  }
  const wrong = await call('PUT', `${at}?digest=${digestOf('something else')}`)
  assert.equal(wrong.status, 400)
  const right = await call('PUT', `${at}?digest=${digestOf('abcd')}`)
  assert.equal(right.status, 404, 'an upload with a wrong digest is over')
  assert.deepEqual(drafts(), [])
})

test('nothing is mounted from a repository of somebody else, and it does not tell what is there', async () => {
  const digest = digestOf('mine')
  const own = await call('POST', `/v2/mine/a/blobs/uploads/?digest=${digest}`, { body: 'mine' })
  assert.equal(own.status, 201)
  const mounted = await call('POST', `/v2/mine/b/blobs/uploads/?mount=${digest}&from=mine/a`)
  assert.equal(mounted.status, 201)
  for (const from of ['other/a', '../mine/a', 'mine/a/../a', '', 'library/%2e%2e']) {
    const query = new URLSearchParams({ mount: digest, from })
    const refused = await call('POST', `/v2/mine/b/blobs/uploads/?${query.toString()}`)
    assert.equal(refused.status, 202, from)
    await call('DELETE', refused.headers.get('location') ?? '')
  }
})

test('a manifest of 100,000 layers is refused quickly', async () => {
  const layer = {
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest: digestOf(''),
    size: 0,
  }
  const config = { ...layer, mediaType: 'application/vnd.oci.image.config.v1+json' }
  for (const count of [60_000, 100_000]) {
    const began = performance.now()
    const refused = await call('PUT', '/v2/mine/many/manifests/latest', {
      headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
      body: JSON.stringify({ schemaVersion: 2, config, layers: Array(count).fill(layer) }),
    })
    assert.ok([400, 413].includes(refused.status), String(refused.status))
    assert.ok(performance.now() - began < 5000)
  }
})
