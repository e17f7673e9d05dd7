import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nestsDeeper } from './json-depth.ts'

test('the depth of any value is found', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = JSON.stringify(value)
      const depth = depthOf(value)
      assert.equal(nestsDeeper(text, depth), false, text)
      if (depth > 0) assert.equal(nestsDeeper(text, depth - 1), true, text)
    }),
  )
})

test('brackets in strings and brackets that close again do not count', () => {
  assert.equal(nestsDeeper(JSON.stringify(['[[[[{{{{', '\\"[[[', '\\']), 1), false)
  assert.equal(nestsDeeper('[[],[],{},[]]', 2), false)
})

test('text that is no JSON is answered all the same', () => {
  for (const text of ['', '"', '"\\', ']]]][', '{"a', '[[[[']) nestsDeeper(text, 2)
  assert.equal(nestsDeeper('[[[[', 2), true)
})

test('sixty megabytes of brackets are refused at once', () => {
  const text = '['.repeat(60_000_000)
  const before = process.cpuUsage()
  assert.equal(nestsDeeper(text, 64), true)
  const { user, system } = process.cpuUsage(before)
  assert.ok(user + system < 1_000_000, `${String(user + system)} µs`)
})

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}
