import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { SECRET } from '../../test/fakes/fake-platform.ts'
import { createTestApi, EMPTY, goodRequest, listen } from '../../test/fakes/test-api.ts'
import { problem } from '../contract/problem.ts'
import { FairwayError } from '../model/errors.ts'

const setup = await createTestApi({
  limits: { bodyBytes: 1000 },
  hosts: ['fairway.example'],
})
const { api, tokens, platform, logged } = setup
after(() => api.close())
const port = await listen(api)
const admin = { authorization: `Bearer ${tokens.admin}` }

async function codeOf(answer: { body: string }): Promise<string> {
  return await Promise.resolve(problem.parse(JSON.parse(answer.body)).error.code)
}

/** What the server answers to these bytes on a connection of their own. */
async function raw(text: string, end = false): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let answer = ''
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1')
    if (answer.includes('\r\n\r\n') && !end) socket.end()
  })
  socket.write(text)
  if (end) socket.end()
  await new Promise((resolve) => socket.once('close', resolve))
  return answer
}

for (const host of [
  'localhost',
  'LOCALHOST:7',
  '127.0.0.1:80',
  '[::1]:80',
  '[::1]',
  'fairway.example',
]) {
  test(`Host: ${host} is ours`, async () => {
    const answer = await api.inject({ url: '/v1/health', headers: { host } })
    assert.equal(answer.statusCode, 200)
  })
}

for (const host of [
  'evil.example',
  'localhost.evil.example',
  'evil.example:80',
  'localhost@evil.example',
  '127.0.0.1.evil.example',
  '127.0.0.2',
  'sub.fairway.example',
  'localhost:x',
  'localhost:80:80',
  '',
]) {
  test(`Host: ${host} is not`, async () => {
    const answer = await raw(`GET /v1/health HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 403 /)
    assert.match(answer, /"FORBIDDEN"/)
  })
}

test('no Host, bad HTTP and bad URLs are answered with problems', async () => {
  assert.match(await raw('GET /v1/health HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 403 .*FORBIDDEN/s)
  assert.match(await raw('GET /v1/health HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /)
  assert.match(await raw('nonsense\r\n\r\n'), /^HTTP\/1\.1 400 .*"INVALID_REQUEST"/s)
  const large = `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`
  assert.match(await raw(large), /^HTTP\/1\.1 413 .*"TOO_LARGE"/s)
  const both =
    'POST /v1/claim HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
  assert.match(await raw(both), /^HTTP\/1\.1 400 /)
  assert.match(
    await raw('GET /v1/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    /^HTTP\/1\.1 400 .*"INVALID_REQUEST"/s,
  )
})

test('no cookies, no CORS, nothing cached, 401 says how', async () => {
  const answer = await api.inject({
    url: '/v1/apps',
    headers: { origin: 'https://evil.example', cookie: `token=${tokens.admin}` },
  })
  assert.equal(answer.statusCode, 401)
  assert.equal(answer.headers['www-authenticate'], 'Bearer realm="fairway"')
  assert.equal(answer.headers['cache-control'], 'no-store')
  for (const name of Object.keys(answer.headers))
    assert.doesNotMatch(name, /access-control|set-cookie/)
  const preflight = await api.inject({ method: 'OPTIONS', url: '/v1/apps' })
  assert.equal(preflight.statusCode, 404)
})

test('unknown paths and methods are not found', async () => {
  for (const [method, url] of [
    ['GET', '/'],
    ['GET', '/v1'],
    ['POST', '/v1/health'],
    ['GET', '/v1/health/'],
    ['GET', '/v1/apps/shop/production/../../../tokens/x'],
    ['GET', '/v2/'],
    ['GET', '//v1/health'],
  ] as const) {
    const answer = await api.inject({ method, url, headers: admin })
    assert.equal(answer.statusCode, 404, url)
    assert.equal(await codeOf(answer), 'NOT_FOUND')
  }
})

test('messages name the place and what was expected, never the value', async () => {
  const answer = await api.inject({
    method: 'PATCH',
    url: '/v1/apps/shop/production/config',
    headers: admin,
    payload: { changes: { GOOD: SECRET, 'BAD-NAME': SECRET, NUMBER: 5 } },
  })
  assert.equal(answer.statusCode, 400)
  const { error } = problem.parse(answer.json())
  assert.match(error.message, /changes\.BAD-NAME: expected letters, digits and _/)
  assert.match(error.message, /changes\.NUMBER: expected string, received number/)
  assert.ok(!answer.body.includes(SECRET))
  const broken = await api.inject({
    method: 'PATCH',
    url: '/v1/apps/shop/production/config',
    headers: { ...admin, 'content-type': 'application/json' },
    payload: `{"changes":{"KEY":"${SECRET}"`,
  })
  assert.equal(broken.statusCode, 400)
  assert.ok(!broken.body.includes(SECRET))
  assert.ok(!logged.join('\n').includes(SECRET))
})

test('JSON that is nested without end is refused before it is parsed', async () => {
  const before = process.cpuUsage()
  const answer = await api.inject({
    method: 'POST',
    url: '/v1/apps/shop/production/deploys',
    headers: { ...admin, 'content-type': 'application/json' },
    payload: `${'['.repeat(5_000_000)}${']'.repeat(5_000_000)}`,
  })
  assert.equal(answer.statusCode, 400)
  assert.match(problem.parse(answer.json()).error.message, /nested deeper than 32 levels/)
  const { user, system } = process.cpuUsage(before)
  assert.ok(user + system < 1_000_000, `${String(user + system)} µs`)
})

test('JSON that is not UTF-8 is refused, whatever it would mean', async () => {
  const answer = await api.inject({
    method: 'PATCH',
    url: '/v1/apps/shop/production/config',
    headers: { ...admin, 'content-type': 'application/json' },
    payload: Buffer.from('{"changes":{"A":"\xff"}}', 'latin1'),
  })
  assert.equal(answer.statusCode, 400)
  assert.match(problem.parse(answer.json()).error.message, /not UTF-8/)
})

test('bad names in the path have their own code', async () => {
  const answer = await api.inject({ url: '/v1/apps/Shop/production', headers: admin })
  assert.equal(await codeOf(answer), 'INVALID_NAME')
})

for (const payload of [
  '{"changes":{"__proto__":"x"}}',
  '{"__proto__":{"polluted":1},"changes":{"A":"b"}}',
  '{"changes":{"A":"b"},"constructor":{"prototype":{"polluted":1}}}',
  '{"changes":{"A":"b"},"extra":1}',
  '{"changes":{}}',
  '[]',
  'null',
  '',
]) {
  test(`the body ${payload} is refused`, async () => {
    const answer = await api.inject({
      method: 'PATCH',
      url: '/v1/apps/shop/production/config',
      headers: { ...admin, 'content-type': 'application/json' },
      payload,
    })
    assert.equal(answer.statusCode, 400, answer.body)
    assert.equal('polluted' in {}, false)
  })
}

test('configuration is limited in number and size', async () => {
  const patch = async (changes: object) =>
    await api.inject({
      method: 'PATCH',
      url: '/v1/apps/shop/production/config',
      headers: admin,
      payload: { changes },
    })
  const many = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`K${n}`, 'v']))
  assert.equal((await patch(many(256))).statusCode, 200)
  assert.equal((await patch(many(257))).statusCode, 400)
  assert.equal((await patch({ A: 'x'.repeat(32 * 1024) })).statusCode, 200)
  assert.equal((await patch({ A: 'x'.repeat(32 * 1024 + 1) })).statusCode, 400)
})

test('a body above the limit is refused before it is read', async () => {
  const answer = await api.inject({
    method: 'POST',
    url: '/v1/tokens',
    headers: admin,
    payload: { name: 'x'.repeat(2000), role: 'viewer' },
  })
  assert.equal(answer.statusCode, 413)
  assert.equal(await codeOf(answer), 'TOO_LARGE')
})

test('a body that is not taken is refused', async () => {
  const answer = await api.inject({
    method: 'POST',
    url: '/v1/collect',
    headers: admin,
    payload: { a: 1 },
  })
  assert.equal(await codeOf(answer), 'INVALID_REQUEST')
})

test('a broken platform is INTERNAL, says nothing, and is logged once', async () => {
  logged.length = 0
  platform.failure = new Error(`cannot open /secret/${SECRET}`)
  const answer = await api.inject({ url: '/v1/apps', headers: admin })
  platform.failure = null
  assert.equal(answer.statusCode, 500)
  assert.equal(await codeOf(answer), 'INTERNAL')
  assert.ok(!answer.body.includes(SECRET))
  const { error } = problem.parse(answer.json())
  const about = logged.filter((line) => line.startsWith('request failed'))
  assert.equal(about.length, 1)
  assert.ok(about[0]?.includes(String(error.details['request'])))
})

test('errors of the platform come out as they are', async () => {
  platform.failure = new FairwayError('DISK_FULL', 'no space', {
    hint: 'buy',
    details: { free: 1 },
  })
  const answer = await api.inject({ url: '/v1/apps', headers: admin })
  platform.failure = null
  assert.equal(answer.statusCode, 507)
  assert.deepEqual(answer.json(), {
    error: { code: 'DISK_FULL', message: 'no space', hint: 'buy', details: { free: 1 } },
  })
})

test('an answer that does not come in time is a TIMEOUT', async () => {
  const hasty = await createTestApi({ limits: { answerMs: 50 } })
  hasty.platform.list = () => new Promise(() => undefined)
  const headers = { authorization: `Bearer ${hasty.tokens.admin}` }
  const answer = await hasty.api.inject({ url: '/v1/apps', headers })
  await hasty.api.close()
  assert.equal(await codeOf(answer), 'TIMEOUT')
})

test('a source whose contents are missing names them', async () => {
  const digest = `sha256:${'0'.repeat(64)}`
  const entry = { type: 'file', path: 'a', size: 1, executable: false, digest }
  const answer = await api.inject({
    ...goodRequest('deployApp', tokens.developer),
    payload: { source: { entries: [entry] }, appFile: null, image: null },
  })
  assert.equal(answer.statusCode, 409)
  assert.deepEqual(problem.parse(answer.json()).error.details, { missing: [digest] })
})

test('contents inside the request are stored; a wrong one is refused', async () => {
  const entry = { type: 'file', path: 'a', size: 0, executable: false, digest: EMPTY }
  const deploy = async (base64: string) =>
    await api.inject({
      ...goodRequest('planApp', tokens.developer),
      payload: {
        source: { entries: [entry], contents: [{ digest: EMPTY, base64 }] },
        appFile: null,
        image: null,
      },
    })
  assert.equal(await codeOf(await deploy('aGVsbG8=')), 'DIGEST_MISMATCH')
  assert.equal((await deploy('')).statusCode, 200)
  assert.match(platform.inputs.at(-1)?.source ?? '', /^sha256:/)
})

test('who asked is in the log and on the rollout', async () => {
  logged.length = 0
  const before = platform.calls.length
  platform.finish(`r${platform.rolloutList.length + 1}`)
  await api.inject(goodRequest('deployApp', tokens.developer))
  assert.equal(platform.calls[before], 'deploy by developer shop/production')
  assert.match(
    logged.join('\n'),
    /"route":"\/v1\/apps\/:app\/:environment\/deploys","status":200.*"by":"developer"/,
  )
  for (const token of Object.values(tokens)) assert.ok(!logged.join('\n').includes(token))
})
