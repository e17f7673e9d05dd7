import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, test, type TestContext } from 'node:test'
import { createTestApi, listen, type TestApi } from '../../test/fakes/test-api.ts'
import { until } from '../../test/fakes/until.ts'
import { problem } from '../contract/problem.ts'
import { grantOf, PLATFORM } from '../model/identity.ts'
import { FairwayError } from '../model/errors.ts'

const APP = '/v1/apps/shop/production'

/** A listening API of its own, closed after the test. */
async function serve(t: TestContext, limits = {}): Promise<TestApi & { readonly base: string }> {
  const setup = await createTestApi({ limits })
  const port = await listen(setup.api)
  t.after(() => setup.api.close())
  return { ...setup, base: `http://127.0.0.1:${port}` }
}

function bearer(token: string): { headers: { authorization: string } } {
  return { headers: { authorization: `Bearer ${token}` } }
}

class Lines {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  #text = ''

  constructor(response: Response) {
    if (response.body === null) throw new Error('no body')
    this.#reader = response.body.getReader()
  }

  /** The next line; null at the end. */
  async next(): Promise<string | null> {
    for (;;) {
      const end = this.#text.indexOf('\n')
      if (end !== -1) {
        const line = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + 1)
        return line
      }
      const { done, value } = await this.#reader.read()
      if (done) return null
      this.#text += Buffer.from(value).toString('utf8')
    }
  }
}

function deploy(base: string, token: string, signal?: AbortSignal): Promise<Response> {
  return fetch(`${base}${APP}/deploys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ source: { entries: [] }, appFile: null, image: null }),
    signal: signal ?? null,
  })
}

test('a deploy is one request: the rollout, its events as they happen, the end', async (t) => {
  const { base, tokens, platform } = await serve(t)
  const response = await deploy(base, tokens.developer)
  assert.equal(response.headers.get('content-type'), 'application/x-ndjson')
  const lines = new Lines(response)
  assert.match((await lines.next()) ?? '', /^\{"type":"rollout","rollout":\{"id":"r2"/)
  assert.match((await lines.next()) ?? '', /^\{"type":"step"/)
  assert.match((await lines.next()) ?? '', /^\{"type":"output"/)
  platform.finish('r2')
  assert.match((await lines.next()) ?? '', /^\{"type":"end"/)
  assert.equal(await lines.next(), null)
})

test('a client that leaves ends the observing, not the rollout, which can be watched again', async (t) => {
  const { base, tokens, platform } = await serve(t)
  const leave = new AbortController()
  const lines = new Lines(await deploy(base, tokens.developer, leave.signal))
  await lines.next()
  await lines.next()
  leave.abort()
  await until('the observer is told', () => platform.signals[0]?.aborted === true)
  assert.ok(!platform.calls.some((call) => call.startsWith('destroy')))
  platform.finish('r2')
  const again = await fetch(`${base}${APP}/rollouts/r2/events`, bearer(tokens.viewer))
  assert.match(await again.text(), /"type":"step".*"type":"end"/s)
})

test('an error before the first line is a status, a later one the last line', async (t) => {
  const { base, tokens, platform } = await serve(t)
  const missing = await fetch(`${base}/v1/apps/other/production/logs`, bearer(tokens.viewer))
  assert.equal(missing.status, 404)
  const response = await fetch(`${base}${APP}/logs?follow=true`, bearer(tokens.viewer))
  const lines = new Lines(response)
  for (let n = 0; n < 3; n += 1) assert.match((await lines.next()) ?? '', new RegExp(`"line ${n}"`))
  platform.failure = new FairwayError('DISK_FULL', 'no space')
  platform.change()
  const last: unknown = JSON.parse((await lines.next()) ?? '')
  assert.equal(problem.parse(last).error.code, 'DISK_FULL')
  assert.equal(await lines.next(), null)
})

test('a stream without a first line begins anyway and shows signs of life', async (t) => {
  const { base, tokens, platform } = await serve(t, { heartbeatMs: 20 })
  platform.logCount = 0
  const response = await fetch(`${base}${APP}/logs?follow=true`, bearer(tokens.viewer))
  assert.equal(response.status, 200)
  const lines = new Lines(response)
  assert.equal(await lines.next(), '')
  assert.equal(await lines.next(), '')
})

test('closing the server ends streams', async (t) => {
  const { api, base, tokens } = await serve(t)
  const response = await fetch(`${base}${APP}/watch`, bearer(tokens.viewer))
  const lines = new Lines(response)
  assert.match((await lines.next()) ?? '', /^\{"ref"/)
  await api.close()
  assert.equal(await lines.next(), null)
})

test('a reader that does not read holds the source back', async (t) => {
  const { base, tokens, platform } = await serve(t)
  const many = 200_000
  let given = 0
  platform.logs = async function* () {
    for (; given < many; given += 1) {
      yield {
        time: 1,
        stream: 'stdout',
        instance: 'web-1-x',
        process: 'web',
        release: 1,
        text: 'x'.repeat(500),
      }
      // As a file reader would: the loop of events goes on between lines.
      if (given % 100 === 0) await new Promise(setImmediate)
    }
  }
  const url = new URL(base)
  const socket = connect(Number(url.port), url.hostname)
  after(() => socket.destroy())
  socket.pause()
  socket.write(
    `GET ${APP}/logs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${tokens.viewer}\r\n\r\n`,
  )
  let last = -1
  // Standing still: the same number twice, a tenth of a second apart.
  for (let n = 0; n < 50 && (given !== last || given === 0); n += 1) {
    last = given
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  assert.ok(given > 0 && given < many, `${given} of ${many} lines were taken`)
  socket.destroy()
})

test('the number of streams is limited, and free again when one ends', async (t) => {
  const { base, tokens, platform } = await serve(t, { streams: 1 })
  const leave = new AbortController()
  const first = await fetch(`${base}${APP}/watch`, {
    ...bearer(tokens.viewer),
    signal: leave.signal,
  })
  assert.equal(first.status, 200)
  const second = await fetch(`${base}${APP}/watch`, bearer(tokens.viewer))
  assert.equal(second.status, 429)
  leave.abort()
  await until('the first has ended', () => platform.signals[0]?.aborted === true)
  await until('a place is free', () => platform.signals.length >= 1)
  const third = await fetch(`${base}${APP}/releases`, bearer(tokens.viewer))
  assert.equal(third.status, 200)
  await assert.doesNotReject(async () => {
    for (let n = 0; n < 100; n += 1) {
      const stop = new AbortController()
      const again = await fetch(`${base}${APP}/watch`, {
        ...bearer(tokens.viewer),
        signal: stop.signal,
      })
      const { status } = again
      stop.abort()
      if (status === 200) return
    }
    throw new Error('no place became free')
  })
})

test('a command streams its lines and its exit, and ends when nobody reads', async (t) => {
  const { base, tokens, platform } = await serve(t)
  const run = (argv: readonly string[], signal?: AbortSignal): Promise<Response> =>
    fetch(`${base}${APP}/run`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tokens.developer}`, 'content-type': 'application/json' },
      body: JSON.stringify({ process: null, argv, timeoutMs: 1000 }),
      signal: signal ?? null,
    })
  const text = await (await run(['true'])).text()
  assert.match(
    text,
    /"line 0".*"line 1".*"line 2".*\{"type":"exit","code":7,"reason":"exited"\}\n$/s,
  )
  const leave = new AbortController()
  const lines = new Lines(await run(['sleep'], leave.signal))
  await lines.next()
  const signal = platform.signals.at(-1)
  leave.abort()
  await until('the command is told', () => signal?.aborted === true)
})

for (const way of ['revoked', 'expired'] as const) {
  test(`a stream ends soon after its token is ${way}`, async (t) => {
    const { base, identity } = await serve(t, { recheckMs: 50, heartbeatMs: 20 })
    const { token, view } = await identity.createToken(PLATFORM, {
      name: 'follower',
      person: null,
      grants: [grantOf('viewer')],
      expiresAt: way === 'expired' ? Date.now() + 1500 : null,
    })
    const lines = new Lines(await fetch(`${base}${APP}/logs?follow=true`, bearer(token)))
    assert.notEqual(await lines.next(), null)
    if (way === 'revoked') await identity.revokeToken(PLATFORM, view.id)
    let last = ''
    for (let line = await lines.next(); line !== null; line = await lines.next()) {
      if (line !== '') last = line
    }
    assert.equal(problem.parse(JSON.parse(last)).error.code, 'UNAUTHENTICATED')
  })
}
