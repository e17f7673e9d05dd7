import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { ACTIONS } from '../model/identity.ts'
import { endpointUrl, type Endpoint } from './endpoint.ts'
import { ENDPOINTS } from './endpoints.ts'

const all = Object.entries<Endpoint>(ENDPOINTS)

test('no two endpoints share method and path', () => {
  const keys = all.map(([, { method, path }]) => `${method} ${path}`)
  assert.deepEqual(keys, [...new Set(keys)])
})

test('the parameters of every path are those of its schema', () => {
  for (const [name, { path, params }] of all) {
    const inPath = [...path.matchAll(/:([a-z]+)/g)].map(([, key]) => key)
    const properties = z.toJSONSchema(params, { io: 'input' }).properties ?? {}
    assert.deepEqual(inPath, Object.keys(properties), name)
  }
})

test('bodies, queries and parameters refuse unknown keys', () => {
  for (const [name, { params, query, body }] of all) {
    for (const schema of [params, query, ...(body instanceof z.ZodType ? [body] : [])]) {
      const json = z.toJSONSchema(schema, { io: 'input' })
      const object =
        json.$ref === undefined ? json : json.$defs?.[json.$ref.split('/').at(-1) ?? '']
      assert.equal(object?.additionalProperties, false, name)
    }
  }
})

test('only health, the document, the claim and logins are open', () => {
  const open = all.filter(([, { action }]) => action === null).map(([name]) => name)
  assert.deepEqual(open, ['health', 'openapi', 'claim', 'beginLogin', 'redeemLogin'])
})

test('every action of an endpoint is a known one', () => {
  const known: readonly string[] = ACTIONS
  for (const [name, { action }] of all) assert.ok(action === null || known.includes(action), name)
})

test('urls: values are encoded, undefined is left out, a missing parameter is a mistake', () => {
  assert.equal(
    endpointUrl(
      ENDPOINTS.logs,
      { app: 'a', environment: 'p/../q' },
      {
        limit: 5,
        follow: true,
        grep: 'a&b',
        process: undefined,
      },
    ),
    '/v1/apps/a/p%2F..%2Fq/logs?limit=5&follow=true&grep=a%26b',
  )
  assert.throws(
    () => endpointUrl(ENDPOINTS.getApp, { app: 'a' }),
    /needs the parameter environment/,
  )
})

test('queries read what endpointUrl writes', () => {
  const url = new URL(
    endpointUrl(
      ENDPOINTS.logs,
      { app: 'a', environment: 'b' },
      { limit: 5, follow: false, since: 12 },
    ),
    'http://localhost',
  )
  const query = ENDPOINTS.logs.query.parse(Object.fromEntries(url.searchParams))
  assert.deepEqual(query, { limit: 5, follow: false, since: 12 })
})
