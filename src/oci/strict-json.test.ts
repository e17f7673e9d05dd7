import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Fields, parseStrictJson } from './strict-json.ts'

const parse = (text: string): unknown => parseStrictJson(Buffer.from(text), 'document')

test('any JSON that JSON.stringify makes is read as it is', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      // fc.json() may repeat no key: objects come from JSON.stringify.
      assert.deepEqual(parse(text), JSON.parse(text))
    }),
  )
})

test('duplicate keys are refused, however they are written', () => {
  for (const text of [
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '[{"b":{"c":1,"d":2,"c":3}}]',
    '{"a":{"x":1},"a" : []}',
  ]) {
    assert.throws(() => parse(text), { code: 'INVALID_IMAGE', message: /twice/ }, text)
  }
  assert.deepEqual(parse('{"a":{"a":1},"b":[{"a":1},{"a":2}],"c":"\\"a\\":"}'), {
    a: { a: 1 },
    b: [{ a: 1 }, { a: 2 }],
    c: '"a":',
  })
})

test('bytes that are not UTF-8, bombs of brackets and broken JSON are refused', () => {
  assert.throws(() => parseStrictJson(Buffer.from([0x22, 0xff, 0x22]), 'document'), {
    code: 'INVALID_IMAGE',
  })
  assert.throws(() => parse('['.repeat(100) + ']'.repeat(100)), {
    code: 'INVALID_IMAGE',
    message: /deeper/,
  })
  assert.throws(() => parse('{"a":1'), { code: 'INVALID_IMAGE' })
})

test('fields: null counts as absent, wrong types are named', () => {
  const fields = new Fields(
    { a: null, n: -1, s: 1, list: ['x', 2], __proto__: { inherited: 'x' } },
    'thing',
  )
  assert.equal(fields.string('a'), null)
  assert.equal(fields.string('inherited'), null)
  assert.throws(() => fields.integer('n'), { message: /thing: n/ })
  assert.throws(() => fields.string('s'), { message: /thing: s must be a string/ })
  assert.throws(() => fields.strings('list'), { message: /thing: list/ })
})

test('megabytes of brackets are refused without being parsed', () => {
  const bytes = Buffer.from(`${'['.repeat(4_000_000)}${']'.repeat(4_000_000)}`)
  const before = process.cpuUsage()
  assert.throws(() => parseStrictJson(bytes, 'document'), { message: /deeper than 64/ })
  const { user, system } = process.cpuUsage(before)
  assert.ok(user + system < 500_000, `${String(user + system)} µs`)
})
