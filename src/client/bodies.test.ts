import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import type { z } from 'zod'
import { createTestApi, goodRequest } from '../../test/fakes/test-api.ts'
import { ENDPOINTS, type EndpointName } from '../contract/endpoints.ts'
import { BODIES, problemBody } from './bodies.ts'
import { ShapeError } from './shape.ts'

const NAMES = Object.keys(BODIES).filter((key): key is keyof typeof BODIES => key in BODIES)

/** Answers of the real API over fakes, one per line where it streams. */
async function samples(name: EndpointName): Promise<unknown[]> {
  const { api, tokens, platform, claimCode } = await createTestApi()
  for (const id of ['r1', 'r2']) platform.finish(id)
  // A stream without an end of its own is ended once it has begun.
  const ending = setInterval(() => {
    if (name !== 'watchApp' || platform.signals.length === 0) return
    clearInterval(ending)
    void api.close()
  }, 5)
  const request =
    name === 'claim'
      ? { method: 'POST' as const, url: '/v1/claim', payload: { code: claimCode, name: 'ada' } }
      : goodRequest(name, tokens.admin)
  const answer = await api.inject(request)
  clearInterval(ending)
  await api.close()
  assert.ok(answer.statusCode < 300, answer.body)
  return answer.body
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line))
    .filter((value) => problemBodyFails(value))
}

function problemBodyFails(value: unknown): boolean {
  try {
    problemBody(value, '')
    return false
  } catch {
    return true
  }
}

/** Every value inside with its path. */
function places(value: unknown, path: readonly (string | number)[] = []): (string | number)[][] {
  const inner =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, child]) =>
          places(child, [...path, Array.isArray(value) ? Number(key) : key]),
        )
      : []
  return path.length === 0 ? inner : [[...path], ...inner]
}

function withChange(value: unknown, path: readonly (string | number)[], change: unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return change
  if (Array.isArray(value)) {
    return value.map((item: unknown, index) =>
      index === key ? withChange(item, rest, change) : item,
    )
  }
  const record = value as Record<string, unknown>
  return { ...record, [key]: withChange(record[key], rest, change) }
}

for (const name of NAMES) {
  test(`answers of ${name} are read, and refused where the contract refuses them`, async () => {
    const schema: z.ZodType = ENDPOINTS[name].response
    const reader: (value: unknown, path: string) => unknown = BODIES[name]
    const found = await samples(name)
    assert.ok(found.length > 0)
    for (const sample of found) {
      assert.deepEqual(reader(sample, ''), sample)
      assert.doesNotThrow(() => reader({ ...(sample as object), later: 1 }, ''))
      const all = places(sample)
      fc.assert(
        fc.property(
          fc.constantFrom(...all),
          // A value of a type that stands nowhere in its place; undefined = the key is missing.
          fc.constantFrom(undefined, [[1]], { x: { y: 1 } }),
          (path, change) => {
            const changed = withChange(sample, path, change)
            const taken = schema.safeParse(changed).success
            let read = true
            try {
              reader(changed, '')
            } catch (error) {
              assert.ok(error instanceof ShapeError)
              read = false
            }

            assert.equal(read, taken, path.join('.'))
          },
        ),
        { numRuns: 200 },
      )
    }
  })
}
