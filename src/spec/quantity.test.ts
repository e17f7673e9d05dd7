import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  formatDuration,
  formatSize,
  parseCpu,
  parseDuration,
  parsePercent,
  parseSize,
} from './quantity.ts'

test('quantities are read with their units and refused without', () => {
  assert.deepEqual(
    ['500ms', '30s', '10m', '1h30m', '7d', '1.5s'].map(parseDuration),
    [500, 30_000, 600_000, 5_400_000, 604_800_000, 1500],
  )
  assert.deepEqual(
    ['30', '', 's', '-1s', '1 s', '1y', '1e3s'].map(parseDuration),
    Array(7).fill(null),
  )
  assert.deepEqual(
    ['512Mi', '1G', '1.5Gi', '4k', '1MiB'].map(parseSize),
    [536_870_912, 1e9, 1_610_612_736, 4000, 1_048_576],
  )
  assert.deepEqual(['512', 'Mi', '1mi', '-1G', '1 G'].map(parseSize), Array(5).fill(null))
  assert.deepEqual([0.5, '500m', '2', 'x', '-1', Number.NaN].map(parseCpu), [
    0.5,
    0.5,
    2,
    null,
    null,
    null,
  ])
  assert.deepEqual(['70%', '0.5%', '101%', '70'].map(parsePercent), [70, 0.5, null, null])
})

test('what is printed is read back', () => {
  fc.assert(
    fc.property(fc.nat({ max: 999_999_999 }), (ms) => {
      assert.equal(parseDuration(formatDuration(ms)), ms)
    }),
  )
  fc.assert(
    fc.property(fc.nat({ max: 1 << 20 }), (kib) => {
      fc.pre(kib > 0)
      const bytes = kib * 1024
      assert.ok(Math.abs((parseSize(formatSize(bytes)) ?? 0) - bytes) <= bytes * 0.01)
    }),
  )
})
