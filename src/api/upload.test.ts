import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { digestOf } from '../../test/fakes/memory-source-store.ts'
import { createTestApi, EMPTY, listen } from '../../test/fakes/test-api.ts'
import { until } from '../../test/fakes/until.ts'
import { encodeFrameHeader } from '../contract/content-frames.ts'
import { problem } from '../contract/problem.ts'

const { api, tokens, sources, logged } = await createTestApi({ limits: { contentBytes: 100_000 } })
after(() => api.close())
const port = await listen(api)
const base = `http://127.0.0.1:${port}`
const headers = {
  authorization: `Bearer ${tokens.developer}`,
  'content-type': 'application/octet-stream',
}
const HELLO = Buffer.from('hello')
const HELLO_DIGEST = digestOf(HELLO)

async function put(digest: string, body: string | Uint8Array<ArrayBuffer>, extra = {}) {
  const url = `${base}/v1/contents/${digest}`
  return await fetch(url, { method: 'PUT', headers: { ...headers, ...extra }, body })
}

async function codeOf(response: Response): Promise<string> {
  return problem.parse(await response.json()).error.code
}

function head(length: number, path: string, method: string): string {
  return [
    `${method} ${path} HTTP/1.1`,
    'Host: localhost',
    `Authorization: ${headers.authorization}`,
    'Content-Type: application/octet-stream',
    `Content-Length: ${length}`,
    '\r\n',
  ].join('\r\n')
}

test('a content is stored under its digest, also twice, also empty', async () => {
  assert.equal((await put(HELLO_DIGEST, 'hello')).status, 204)
  assert.equal((await put(HELLO_DIGEST, 'hello')).status, 204)
  assert.equal((await put(EMPTY, '')).status, 204)
  assert.deepEqual(Buffer.from(sources.contents.get(HELLO_DIGEST) ?? []), HELLO)
})

test('a wrong digest, a bad one, and no length are refused', async () => {
  assert.equal(await codeOf(await put(EMPTY, 'hello')), 'DIGEST_MISMATCH')
  for (const bad of [
    'hello',
    'sha256:xyz',
    `sha512:${'a'.repeat(64)}`,
    `sha256:${'A'.repeat(64)}`,
  ]) {
    assert.equal(await codeOf(await put(bad, 'hello')), 'INVALID_REQUEST')
  }
  const chunked = new ReadableStream({
    start: (controller) => {
      controller.enqueue(HELLO)
      controller.close()
    },
  })
  const url = `${base}/v1/contents/${HELLO_DIGEST}`
  const response = await fetch(url, { method: 'PUT', headers, body: chunked, duplex: 'half' })
  assert.equal(await codeOf(response), 'INVALID_REQUEST')
})

test('a content above the limit is refused before it is stored', async () => {
  assert.equal(await codeOf(await put(EMPTY, 'x'.repeat(100_001))), 'TOO_LARGE')
  const frame = Buffer.concat([encodeFrameHeader(EMPTY, 100_001), Buffer.alloc(100_001)])
  const response = await fetch(`${base}/v1/contents`, { method: 'POST', headers, body: frame })
  assert.equal(await codeOf(response), 'TOO_LARGE')
})

test('another content type is refused', async () => {
  const response = await put(HELLO_DIGEST, 'hello', { 'content-type': 'text/plain' })
  assert.equal(await codeOf(response), 'INVALID_REQUEST')
  const json = await fetch(`${base}/v1/sources`, {
    method: 'POST',
    headers,
    body: '{"entries":[]}',
  })
  assert.equal(await codeOf(json), 'INVALID_REQUEST')
})

for (const [name, path, method, sent] of [
  ['one content', `/v1/contents/${digestOf(Buffer.alloc(1000))}`, 'PUT', Buffer.alloc(500)],
  ['frames', '/v1/contents', 'POST', encodeFrameHeader(digestOf(Buffer.alloc(1000)), 1000)],
] as const) {
  test(`a truncated upload of ${name} is refused and leaves nothing`, async () => {
    const before = sources.contents.size
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let answer = ''
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
    socket.write(head(2000, path, method))
    socket.end(sent)
    await new Promise((resolve) => socket.once('close', resolve))
    assert.match(answer, /^HTTP\/1\.1 400 .*"INVALID_REQUEST"/s)
    assert.equal(sources.contents.size, before)
  })

  test(`a client that vanishes during ${name} is no failure of the server`, async () => {
    logged.length = 0
    const before = sources.contents.size
    const socket = connect(port, '127.0.0.1')
    socket.write(head(2000, path, method))
    socket.write(sent, () => socket.resetAndDestroy())
    await until('the request has ended', () => logged.some((line) => line.includes('request ')))
    assert.ok(!logged.some((line) => line.startsWith('request failed')), logged.join('\n'))
    assert.equal(sources.contents.size, before)
  })
}

test('many contents travel in one request', async () => {
  const contents = Array.from({ length: 50 }, (_, n) => Buffer.from(`content ${n}`.repeat(n)))
  const body = Buffer.concat(
    contents.flatMap((bytes) => [encodeFrameHeader(digestOf(bytes), bytes.length), bytes]),
  )
  const response = await fetch(`${base}/v1/contents`, { method: 'POST', headers, body })
  assert.deepEqual(await response.json(), {
    stored: 50,
    bytes: contents.reduce((sum, { length }) => sum + length, 0),
  })
  for (const bytes of contents) assert.ok(sources.contents.has(digestOf(bytes)))
})

test('a wrong content among many is refused; those before it stay', async () => {
  const good = Buffer.from('good one')
  const body = Buffer.concat([
    encodeFrameHeader(digestOf(good), good.length),
    good,
    encodeFrameHeader(EMPTY, 5),
    HELLO,
  ])
  const response = await fetch(`${base}/v1/contents`, { method: 'POST', headers, body })
  assert.equal(await codeOf(response), 'DIGEST_MISMATCH')
  assert.ok(sources.contents.has(digestOf(good)))
})
