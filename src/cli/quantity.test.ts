import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ageText, bytesText, durationMs, memoryText, secondsText, sinceMs } from './quantity.ts'

test('bytes, memory, seconds and ages for people', () => {
  assert.deepEqual([0, 999, 1000, 12_345, 999_499, 999_500, 1.4e6, 2.5e12, 9e15].map(bytesText), [
    '0 B',
    '999 B',
    '1.0 kB',
    '12 kB',
    '999 kB',
    '1.0 MB',
    '1.4 MB',
    '2.5 TB',
    '9000 TB',
  ])
  assert.deepEqual([512 * 1024, 2 ** 27, 2 ** 27 + 2 ** 19, 1.5 * 2 ** 30].map(memoryText), [
    '512 KiB',
    '128 MiB',
    '129 MiB',
    '1.5 GiB',
  ])
  assert.deepEqual([0, 123, 9994, 9996, 99_949, 125_400].map(secondsText), [
    '0.00 s',
    '0.12 s',
    '9.99 s',
    '10.0 s',
    '99.9 s',
    '2 m 5 s',
  ])
  assert.deepEqual([0, 119_000, 121_000, 3 * 3.6e6, 5 * 8.64e7].map(ageText), [
    '0s',
    '119s',
    '2m',
    '3h',
    '5d',
  ])
})

test('durations and times of --since', () => {
  assert.equal(durationMs('1h30m', '--x'), 5_400_000)
  assert.equal(durationMs('250ms', '--x'), 250)
  assert.equal(sinceMs('10m', 1_000_000), 400_000)
  assert.equal(sinceMs('2026-01-31T08:00:00Z', 0), Date.UTC(2026, 0, 31, 8))
  for (const bad of ['', '10', 'm', '-5m', '1w', '10 m', '2026-99-99']) {
    assert.throws(() => sinceMs(bad, 0), /--since must be a duration/, bad)
  }
})
