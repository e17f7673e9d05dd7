import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DURATION_BOUNDS } from '../model/traffic.ts'
import { parseProcessName } from '../model/names.ts'
import { durationCounts, readSamples, releaseTraffic } from './traffic-answer.ts'
import { PART, TRAFFIC_FAMILIES, type TrafficFamily } from './traffic-query.ts'

const WEB = parseProcessName('web')

export function familyNamed(name: string): TrafficFamily {
  const found = TRAFFIC_FAMILIES.find((family) => family.name === name)
  assert.ok(found)
  return found
}

test('buckets of seconds become counts between our bounds, never faster than they were', () => {
  const counts = durationCounts([
    { boundMs: Infinity, count: 30 },
    { boundMs: 0.005 * 1000, count: 10 },
    { boundMs: 0.075 * 1000, count: 15 },
    { boundMs: 0.1 * 1000, count: 16 },
    { boundMs: 0.75 * 1000, count: 20 },
    { boundMs: 60_000, count: 28 },
  ])
  const expected = new Array<number>(DURATION_BOUNDS.length + 1).fill(0)
  expected[DURATION_BOUNDS.indexOf(5)] = 10
  expected[DURATION_BOUNDS.indexOf(100)] = 6
  expected[DURATION_BOUNDS.indexOf(1000)] = 4
  expected[DURATION_BOUNDS.length] = 10
  assert.deepEqual(counts, expected)
})

test('whatever the bounds and the order, nothing is lost and nothing is negative', () => {
  const bucket = fc.record({
    boundMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
    count: fc.nat(1e6),
  })
  fc.assert(
    fc.property(fc.array(bucket, { maxLength: 30 }), (buckets) => {
      const counts = durationCounts(buckets)
      assert.equal(counts.length, DURATION_BOUNDS.length + 1)
      assert.ok(counts.every((count) => count >= 0))
      const most = Math.max(0, ...buckets.map(({ count }) => count))
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        most,
      )
    }),
  )
})

const series = (labels: Record<string, string>, value: string): unknown => ({
  metric: labels,
  value: [1_700_000_000.1, value],
})

test('an answer becomes what each release served; strangers and what is no number are left out', () => {
  const family = familyNamed('OpenTelemetry')
  const owners = new Map([
    ['web-a-1', { process: WEB, release: 1 }],
    ['web-b-1', { process: WEB, release: 2 }],
    ['web-b-2', { process: WEB, release: 2 }],
  ])
  const samples = readSamples({
    status: 'success',
    data: {
      resultType: 'vector',
      result: [
        series({ pod: 'web-a-1', [PART]: 'requests' }, '100'),
        series({ pod: 'web-a-1', [PART]: 'failures' }, '3'),
        series({ pod: 'web-a-1', [PART]: 'durations', le: '0.01' }, '90'),
        series({ pod: 'web-a-1', [PART]: 'durations', le: '+Inf' }, '100'),
        series({ pod: 'web-b-1', [PART]: 'requests' }, '7'),
        series({ pod: 'web-b-1', [PART]: 'failures' }, 'NaN'),
        series({ pod: 'stranger', [PART]: 'requests' }, '1000'),
        { metric: null },
      ],
    },
  })
  const traffic = releaseTraffic(family, samples, owners)
  assert.deepEqual(
    traffic.map(({ release, requests, failures }) => [release, requests, failures]),
    [
      [1, 100, 3],
      [2, 7, 0],
    ],
  )
  assert.equal(traffic[0]?.durations.at(DURATION_BOUNDS.indexOf(10)), 90)
  assert.equal(traffic[0].durations.at(DURATION_BOUNDS.length), 10)
})

test('what is no answer of the API says what it is', () => {
  for (const [answer, words] of [
    [{ status: 'error', error: 'query timed out' }, /query timed out/],
    [{ status: 'success', data: { resultType: 'matrix', result: [] } }, /no vector/],
    [{ status: 'error' }, /refused/],
    [[], /not one of the API/],
    [null, /not one of the API/],
    ['ok', /not one of the API/],
  ] as const)
    assert.throws(() => readSamples(answer), words)
})
