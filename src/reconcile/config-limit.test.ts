import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import { checkConfig } from './config-limit.ts'

const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
const many = (count: number, value: string | null): Record<string, string | null> =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`K${String(at)}`, value]))

test('values are counted together, those that are deleted are not', () => {
  assert.doesNotThrow(() => {
    checkConfig(ref, { ...many(256, 'x'), GONE: null })
  })
  assert.throws(() => {
    checkConfig(ref, many(257, ''))
  }, /would have 257 values, at most 256/)
})

test('their bytes are counted together', () => {
  assert.doesNotThrow(() => {
    checkConfig(ref, many(31, 'x'.repeat(32 * 1024)))
  })
  assert.throws(() => {
    checkConfig(ref, many(33, 'x'.repeat(32 * 1024)))
  }, /bytes together/)
})
