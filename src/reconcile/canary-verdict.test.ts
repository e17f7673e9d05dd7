import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DURATION_BOUNDS, type ServedCounts } from '../model/traffic.ts'
import { judgeCanary, percentile95, servedSince } from './canary-verdict.ts'

const LIMITS = { maxErrorRate: 0.01, p95Ms: 100, minRequests: 50 }

/** So many requests, all answered within the given bucket. */
function served(requests: number, failures = 0, bucket = 3): ServedCounts {
  const durations = new Array<number>(DURATION_BOUNDS.length + 1).fill(0)
  durations[bucket] = requests
  return { requests, failures, durations }
}

test('a healthy candidate passes, with what it served as the reason', () => {
  const { verdict, reason } = judgeCanary(
    { candidate: served(200, 1), stable: served(900) },
    LIMITS,
  )
  assert.equal(verdict, 'pass')
  assert.equal(reason, '1 of 200 requests failed (0.5 %), p95 at most 10 ms')
})

test('silence holds: nothing is promoted and nothing taken back', () => {
  const { verdict, reason } = judgeCanary({ candidate: served(3, 3), stable: served(0) }, LIMITS)
  assert.equal(verdict, 'hold')
  assert.equal(reason, '3 requests, 50 are needed to judge')
})

test('more errors than allowed fail, unless stable fails as often', () => {
  const candidate = served(100, 10)
  assert.equal(judgeCanary({ candidate, stable: served(100) }, LIMITS).verdict, 'fail')
  assert.equal(judgeCanary({ candidate, stable: served(0) }, LIMITS).verdict, 'fail')
  assert.equal(judgeCanary({ candidate, stable: served(100, 12) }, LIMITS).verdict, 'hold')
})

test('slower than allowed fails, unless stable is as slow; without a limit latency is not judged', () => {
  const candidate = served(100, 0, 8)
  assert.equal(judgeCanary({ candidate, stable: served(100) }, LIMITS).verdict, 'fail')
  assert.equal(judgeCanary({ candidate, stable: served(100, 0, 9) }, LIMITS).verdict, 'hold')
  assert.equal(
    judgeCanary({ candidate, stable: served(100) }, { ...LIMITS, p95Ms: null }).verdict,
    'pass',
  )
})

test('the percentile is a bound that at least 95 of 100 requests keep', () => {
  const buckets = fc.array(fc.nat({ max: 500 }), {
    minLength: DURATION_BOUNDS.length + 1,
    maxLength: DURATION_BOUNDS.length + 1,
  })
  fc.assert(
    fc.property(buckets, (durations) => {
      const total = durations.reduce((sum, count) => sum + count, 0)
      const p95 = percentile95({ requests: total, failures: 0, durations })
      const within = durations.filter((_, i) => (DURATION_BOUNDS[i] ?? Infinity) <= p95)
      assert.ok(within.reduce((sum, count) => sum + count, 0) >= total * 0.95)
    }),
  )
})

test('counts that went with a copy never make a period negative', () => {
  const { requests, failures, durations } = servedSince(served(100, 5), served(40, 1))
  assert.deepEqual([requests, failures, Math.min(...durations)], [0, 0, 0])
})
