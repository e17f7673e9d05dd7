import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { CredentialSeal } from './credential-seal.ts'
import { ProviderCredentials } from './provider.ts'

const key = randomBytes(32)
const seal = new CredentialSeal(key, randomBytes)

test('what was sealed for a session opens for it alone, with the same key alone, unchanged alone', () => {
  const other = new CredentialSeal(randomBytes(32), randomBytes)
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string(), fc.nat(), (text, session, at) => {
      const sealed = seal.seal(text, session)
      assert.equal(seal.open(sealed, session), text)
      assert.equal(seal.open(sealed, `${session}.`), null)
      assert.equal(other.open(sealed, session), null)
      const bytes = Buffer.from(sealed.slice(3), 'base64url')
      const index = at % bytes.length
      bytes[index] = (bytes[index] ?? 0) ^ 1
      assert.equal(seal.open(`v1.${bytes.toString('base64url')}`, session), null)
    }),
  )
})

test('garbage does not open, and a short key is refused', () => {
  for (const text of ['', 'v1', 'v1.', 'v1.AAAA', 'v2.AAAA'])
    assert.equal(seal.open(text, 's'), null)
  assert.throws(() => new CredentialSeal(randomBytes(16), randomBytes), RangeError)
})

test('credentials print nothing of themselves', () => {
  const made = ProviderCredentials.of({ refresh: 'very secret', access: null })
  assert.ok(!`${inspect(made)}${JSON.stringify(made)}`.includes('very secret'))
  const again = ProviderCredentials.parse(made.reveal())
  assert.deepEqual([again.refresh, again.access], ['very secret', null])
})
