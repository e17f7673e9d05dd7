import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pauseAfter } from './instance-watch.ts'

const health = { intervalMs: 5_000, startMs: 60_000 }

test('an instance that starts is noticed within a twentieth of the time it took, at 2 ms the soonest', () => {
  for (let waited = 0; waited <= 4_000; waited++) {
    const pause = pauseAfter(waited, health)
    assert.ok(
      pause >= 2 && pause <= Math.max(2, waited / 20 + 0.5),
      `${String(waited)}: ${String(pause)}`,
    )
  }
})

test('one that takes long is looked at five times a second, or as often as its file says', () => {
  assert.equal(pauseAfter(30_000, health), 200)
  assert.equal(pauseAfter(30_000, { ...health, intervalMs: 50 }), 50)
  assert.equal(pauseAfter(30_000, { ...health, startMs: 100 }), 100)
})

test('the first second costs at most a hundred looks', () => {
  let looks = 0
  for (let at = 0; at < 1_000; at += pauseAfter(at, health)) looks++
  assert.ok(looks <= 100, String(looks))
})
