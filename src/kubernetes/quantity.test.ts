import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseQuantity } from './quantity.ts'

test('quantities of the API are numbers', () => {
  const cases: readonly (readonly [string, number])[] = [
    ['250m', 0.25],
    ['128Mi', 134_217_728],
    ['1', 1],
    ['1500k', 1_500_000],
    ['123456789n', 0.123456789],
    ['0.5', 0.5],
    ['1e3', 1000],
    ['', 0],
    ['many', 0],
    ['5Xi', 0],
  ]
  for (const [text, number] of cases)
    assert.ok(Math.abs(parseQuantity(text) - number) < 1e-9 * Math.max(1, number), text)
})
