import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { BODIES, createTestApi, EMPTY, goodRequest } from '../../test/fakes/test-api.ts'
import { endpointUrl } from '../contract/endpoint.ts'
import { ENDPOINTS, type EndpointName } from '../contract/endpoints.ts'
import { isErrorCode, problem } from '../contract/problem.ts'

const { api, tokens, platform } = await createTestApi()
after(() => api.close())
// Every deploy that is accepted ends at once.
const all = setInterval(() => {
  for (const { id } of platform.rolloutList) platform.finish(id)
}, 5)
after(() => clearInterval(all))

const NAMES = Object.keys(ENDPOINTS).filter(
  (name): name is EndpointName => name in ENDPOINTS && name !== 'watchApp' && name !== 'destroyApp',
)
const WITH_BODY = NAMES.filter((name) => name in BODIES)

function assertPlain(answer: { statusCode: number; body: string }): void {
  assert.ok(answer.statusCode < 500, answer.body)
  if (answer.statusCode < 400) return
  const { error } = problem.parse(JSON.parse(answer.body))
  assert.ok(isErrorCode(error.code), error.code)
  assert.ok(error.message.length > 0 && error.message.length < 2000)
}

/** A good body with one place, anywhere in it, replaced by something else or with something added. */
function spoiled(body: unknown): fc.Arbitrary<unknown> {
  const anything = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(null, -1, 1e308, '', '\0', 'x'.repeat(70_000)),
  )
  const keys = fc.oneof(
    fc.string(),
    fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString'),
  )
  if (typeof body !== 'object' || body === null) return anything
  const entries = Object.entries(body)
  const changed = entries.map(([key, value]) =>
    spoiled(value).map((other) => (Array.isArray(body) ? [other] : { ...body, [key]: other })),
  )
  const added = fc.tuple(keys, anything).map(([key, value]) => ({ ...body, [key]: value }))
  return fc.oneof(anything, added, ...changed)
}

const FULL = {
  ...BODIES,
  deployApp: {
    source: {
      entries: [
        { type: 'file', path: 'a', size: 0, executable: false, digest: EMPTY },
        { type: 'symlink', path: 'b', target: 'a' },
      ],
      contents: [{ digest: EMPTY, base64: '' }],
    },
    appFile: { path: 'fairway.yaml', text: 'name: shop' },
    image: null,
  },
}

test('whatever the body, the answer is never 500 and its code is in the table', async () => {
  const request = fc
    .constantFrom(...WITH_BODY)
    .chain((name) => fc.tuple(fc.constant(name), spoiled(FULL[name])))
  await fc.assert(
    fc.asyncProperty(request, async ([name, body]) => {
      const payload = JSON.stringify(body)
      const { method, url, headers } = goodRequest(name, tokens.admin)
      const withType = { ...headers, 'content-type': 'application/json' }
      assertPlain(
        await api.inject({
          ...(method && { method }),
          ...(url && { url }),
          headers: withType,
          payload,
        }),
      )
    }),
    { numRuns: 400 },
  )
})

test('whatever the bytes and the content type', async () => {
  const type = fc.oneof(
    fc.constantFrom(
      'application/json',
      'application/octet-stream',
      'text/plain',
      'multipart/form-data',
      '',
    ),
    fc.stringMatching(/^[ -~]{0,30}$/),
  )
  const payload = fc.oneof(
    fc.string(),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  )
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...NAMES), type, payload, async (name, contentType, body) => {
      const { method, url, headers } = goodRequest(name, tokens.admin)
      assertPlain(
        await api.inject({
          method: method === 'GET' ? 'POST' : (method ?? 'POST'),
          url: url ?? '/',
          headers: { ...headers, 'content-type': contentType },
          payload: body,
        }),
      )
    }),
    { numRuns: 300 },
  )
})

test('whatever the parameters and the query', async () => {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom(
      '..',
      '.',
      '%2e%2e',
      '__proto__',
      'shop',
      'a--b',
      'a'.repeat(41),
      '\0',
      '\u2028',
    ),
  )
  const query = fc.array(
    fc.tuple(
      fc.oneof(
        fc.constantFrom('limit', 'follow', 'since', 'grep', 'process', 'instance'),
        fc.string(),
      ),
      fc.oneof(fc.string(), fc.constantFrom('1', '-1', '1e3', '9'.repeat(20), 'true', 'NaN')),
    ),
    { maxLength: 4 },
  )
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...NAMES),
      fc.array(text, { minLength: 10, maxLength: 10 }),
      query,
      async (name, texts, pairs) => {
        const keys = [...ENDPOINTS[name].path.matchAll(/:([a-z]+)/gi)].map(([, key]) => key ?? '')
        const params = Object.fromEntries(keys.map((key, n) => [key, texts[n] ?? '']))
        const url = `${endpointUrl(ENDPOINTS[name], params)}?${new URLSearchParams(pairs).toString()}`
        const { method, headers, payload } = goodRequest(name, tokens.admin)
        // A stream that follows would not end.
        if (pairs.some(([key, value]) => key === 'follow' && value === 'true')) return
        assertPlain(
          await api.inject({
            ...(method && { method }),
            url,
            ...(headers && { headers }),
            ...(payload !== undefined && { payload }),
          }),
        )
      },
    ),
    { numRuns: 400 },
  )
})
