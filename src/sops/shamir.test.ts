import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { combine, split } from './shamir.ts'

test('any threshold of shares gives the secret back, fewer do not', () => {
  const sizes = fc
    .integer({ min: 2, max: 8 })
    .chain((parts) => fc.tuple(fc.constant(parts), fc.integer({ min: 2, max: parts })))
  fc.assert(
    fc.property(
      sizes,
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      ([parts, threshold], bytes) => {
        const secret = Buffer.from(bytes)
        const shares = split(secret, { parts, threshold }, randomBytes)
        assert.deepEqual(combine(shares.slice(parts - threshold)), secret)
        if (threshold > 2) assert.notDeepEqual(combine(shares.slice(0, threshold - 1)), secret)
      },
    ),
    { numRuns: 50 },
  )
})

test('shares that do not fit together are refused', () => {
  const [share = Buffer.alloc(0)] = split(
    Buffer.from('ab'),
    { parts: 2, threshold: 2 },
    randomBytes,
  )
  assert.throws(() => combine([share, share]), { code: 'INVALID_KEY' })
  assert.throws(() => split(Buffer.from('ab'), { parts: 2, threshold: 1 }, randomBytes), {
    code: 'INVALID_KEY',
  })
})
