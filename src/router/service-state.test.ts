import assert from 'node:assert/strict'
import { test } from 'node:test'
import { webService } from '../../test/fakes/router-bed.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { ServiceState } from './service-state.ts'
import { TargetState } from './target.ts'

const context = { limits: DEFAULT_LIMITS, now: () => 0, buffer: Buffer.alloc(0) }
const targets = (...weights: number[]): TargetState[] =>
  weights.map((weight, n) => {
    const address = { host: '127.0.0.1', port: n + 1 }
    return new TargetState({ id: `t${n}`, address, weight }, context)
  })

// Park and Miller: the same numbers in every run.
function seeded(): () => number {
  let state = 42
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
}

function serviceOf(states: readonly TargetState[]): ServiceState {
  const service = new ServiceState(webService([]), 100, seeded())
  service.update(webService([]), states)
  return service
}

function shares(service: ServiceState, rounds: number): Record<string, number> {
  const counts: Record<string, number> = {}
  for (let round = 0; round < rounds; round++) {
    const id = service.pick([], 0)?.id ?? 'none'
    counts[id] = (counts[id] ?? 0) + 1
  }
  return counts
}

test('the target with the fewest requests in flight; chance among equals', () => {
  const [a, b, c] = targets(1, 1, 1)
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  const service = serviceOf([a, b, c])
  for (const count of Object.values(shares(service, 3000))) assert.equal(count > 850, true)
  a.hold({ cut: () => undefined })
  b.hold({ cut: () => undefined })
  assert.deepEqual(shares(service, 10), { t2: 10 })
})

test('weights are shares also when nothing is in flight; 0 gets nothing', () => {
  const counts = shares(serviceOf(targets(95, 5, 0)), 10_000)
  assert.equal(counts['t2'], undefined)
  assert.equal(Math.abs((counts['t1'] ?? 0) - 500) < 100, true, JSON.stringify(counts))
})

test('what was tried is left out, what refused is last', () => {
  const [a, b] = targets(1, 1)
  assert.ok(a !== undefined && b !== undefined)
  const service = serviceOf([a, b])
  assert.equal(service.pick([a], 0), b)
  assert.equal(service.pick([a, b], 0), null)
  a.asideUntil = 1000
  assert.deepEqual(shares(service, 10), { t1: 10 })
  b.asideUntil = 1000
  assert.notEqual(service.pick([], 0), null)
})
