import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { ENDPOINTS } from './endpoints.ts'
import { openApiDocument } from './openapi.ts'

const text = JSON.stringify(openApiDocument())

test('docs/api.json is what `npm run docs` writes', () => {
  const page = readFileSync(resolve(import.meta.dirname, '../../docs/api.json'), 'utf8')
  assert.ok(page === `${JSON.stringify(openApiDocument(), null, 2)}\n`, 'run `npm run docs`')
})

test('every reference leads to a schema, and every schema is used', () => {
  const used = new Set(
    [...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, id]) => id),
  )
  const { components } = JSON.parse(text) as { components: { schemas: object } }
  assert.deepEqual([...used].sort(), Object.keys(components.schemas).sort())
  assert.ok(!text.includes('$defs'))
})

test('every endpoint stands in it, once', () => {
  const operations = [...text.matchAll(/"operationId":"(\w+)"/g)].map(([, id]) => id)
  assert.deepEqual(operations.sort(), Object.keys(ENDPOINTS).sort())
})

test('what is open says so, everything else asks for a token', () => {
  const open = Object.values(ENDPOINTS).filter(({ action }) => action === null)
  assert.equal(text.split('"security":[]').length - 1, open.length)
  assert.ok(text.includes('"security":[{"token":[]}]'))
})
