import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { FairwayError } from '../model/errors.ts'
import { parsePostgresUrl } from './postgres-address.ts'

test('what is shown of a URL is user, host, port and database', () => {
  const shown = (url: string) => parsePostgresUrl(url).label
  assert.equal(
    shown('postgres://me:pw@db.example.com:6432/fairway'),
    'me@db.example.com:6432/fairway',
  )
  assert.equal(shown('postgresql://db/fairway?sslmode=disable'), 'db:5432/fairway')
  assert.equal(shown('postgres://m%65:p%2Fw@[::1]/a%20b'), 'me@[::1]:5432/a b')
  assert.equal(
    shown('postgres:///fairway?user=me&password=pw&host=/run/postgresql'),
    'me@/run/postgresql:5432/fairway',
  )
})

test('the limit of connections is read and checked', () => {
  assert.equal(parsePostgresUrl('postgres://db/x').maxConnections, 10)
  assert.equal(parsePostgresUrl('postgres://db/x?max=3').maxConnections, 3)
  for (const max of ['0', '-1', 'many', '1.5', '501'])
    assert.throws(() => parsePostgresUrl(`postgres://db/x?max=${max}`), { code: 'INVALID_REQUEST' })
})

test('a password with characters that must be encoded is never shown', () => {
  const secret = 'tops3cret'
  const character = fc.constantFrom('/', '?', '#', '@', ':', '%', '&', '=', ' ', '1', '2', '[', ']')
  fc.assert(
    fc.property(
      fc.string({ unit: character, maxLength: 4 }),
      fc.string({ unit: character, maxLength: 4 }),
      (before, after) => {
        let text: string
        try {
          text = parsePostgresUrl(`postgres://me:${before}${secret}${after}@db/fairway`).label
        } catch (error) {
          assert.ok(error instanceof FairwayError)
          assert.equal(error.code, 'INVALID_REQUEST')
          text = inspect(error, { depth: 9, showHidden: true })
        }
        assert.ok(!text.includes(secret), text)
      },
    ),
  )
})
