import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { endOf, isGood, nextStep, type LeaseTimes, type RenewalFacts } from './renewal.ts'

const MINUTE = 60_000
const lease: LeaseTimes = {
  issuedAt: 1_000_000,
  durationMs: 60 * MINUTE,
  renewable: true,
  grantMs: 60 * MINUTE,
  endsAt: null,
}

function facts(change: Partial<RenewalFacts> = {}): RenewalFacts {
  return {
    now: lease.issuedAt,
    readAt: lease.issuedAt,
    lease,
    failures: 0,
    triedAt: 0,
    refreshMs: MINUTE,
    random: 0.5,
    ...change,
  }
}

describe('what is due for a value that is held', () => {
  test('a lease is renewed at two thirds of its life, give or take a twentieth', () => {
    const at = (random: number) => (nextStep(facts({ random })).at - lease.issuedAt) / MINUTE
    assert.deepEqual(
      [0, 0.5, 1].map((random) => Math.round(at(random))),
      [37, 40, 43],
    )
    assert.equal(nextStep(facts()).kind, 'renew')
  })

  test('one that cannot be renewed is read anew while the old one is still good', () => {
    for (const change of [
      { renewable: false },
      { durationMs: 29 * MINUTE },
      { endsAt: lease.issuedAt + 30 * MINUTE },
    ]) {
      const short = { ...lease, ...change }
      const step = nextStep(facts({ lease: short }))
      assert.equal(step.kind, 'read')
      assert.ok(step.at < endOf(short) && isGood(short, step.at), JSON.stringify(change))
    }
  })

  test('a value without a lease is looked at as often as the server says', () => {
    const step = nextStep(facts({ lease: null }))
    assert.deepEqual(step, { kind: 'read', at: lease.issuedAt + MINUTE })
  })

  test('pauses grow after failures, and get shorter again before a lease ends', () => {
    const triedAt = lease.issuedAt + 40 * MINUTE
    const pause = (failures: number, tried = triedAt) =>
      nextStep(facts({ failures, triedAt: tried, now: tried })).at - tried
    assert.deepEqual(
      [1, 2, 3, 20].map((n) => pause(n)),
      [1000, 2000, 4000, 60_000],
    )
    assert.equal(pause(20, endOf(lease) - 30_000), 10_000)
    assert.equal(nextStep(facts({ now: endOf(lease), failures: 3, triedAt })).kind, 'read')
  })

  test('every lease gets a step before its end, and never one in a busy loop', () => {
    const times = fc.record({
      issuedAt: fc.integer({ min: 0, max: 10 ** 12 }),
      durationMs: fc.integer({ min: 3_000, max: 10 ** 10 }),
      renewable: fc.boolean(),
      grantMs: fc.integer({ min: 3_000, max: 10 ** 10 }),
    })
    const property = fc.property(
      times,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.nat(40),
      fc.double({ min: 0, max: 2, noNaN: true }),
      (given, random, failures, part) => {
        const own = { ...given, endsAt: null }
        assert.ok(nextStep(facts({ lease: own, random })).at < endOf(own))
        const triedAt = own.issuedAt + own.durationMs * part
        const again = nextStep(
          facts({ lease: own, random, failures: failures + 1, triedAt, now: triedAt }),
        )
        assert.ok(again.at - triedAt >= 900 && again.at - triedAt <= 66_000)
      },
    )
    fc.assert(property)
  })
})
