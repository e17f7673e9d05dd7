import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAppName, parseEnvironmentName, refKey, type AppRef } from '../model/names.ts'
import { keyTexts, parseKeyRules, type KeyRule } from './key-rules.ts'

const of = (app: string, environment: string): AppRef => ({
  app: parseAppName(app),
  environment: parseEnvironmentName(environment),
})

function rules(text: string): readonly KeyRule[] {
  const parsed = parseKeyRules(text)
  if (typeof parsed === 'string') throw new Error(parsed)
  return parsed
}

const VAULT = 'https://vault.example.com:8200/v1/team/transit/keys'

test('the first rule that is for an environment says its keys; without one it is the server’s own', () => {
  const table = rules(`shop/production=${VAULT}/shop age; */production=${VAULT}/{app}
    */staging=arn:aws:kms:eu-west-1:123456789012:alias/{app}+arn:aws:iam::123456789012:role/fairway`)
  assert.deepEqual(keyTexts(table, of('shop', 'production')), [`${VAULT}/shop`, 'age'])
  assert.deepEqual(keyTexts(table, of('blog', 'production')), [`${VAULT}/blog`])
  assert.match(keyTexts(table, of('blog', 'staging')).join(), /alias\/blog\+arn:aws:iam/)
  assert.deepEqual(keyTexts(table, of('blog', 'preview')), ['age'])
})

test('what names no key that a server can use is refused in words', () => {
  for (const key of [
    '',
    'transit/keys/shop',
    'age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq',
    'ABCDEF0123456789ABCDEF0123456789ABCDEF01',
    'https://vault.example.com/v1/transit/keys/..',
    'https://vault.example.com/v1/../sys/keys/shop',
    'https://vault.example.com/v1/transit/keys/{other}',
    'arn:aws:s3:::bucket',
    'projects/a/cryptoKeys/b',
    'https://team.vault.azure.net/secrets/x',
  ])
    assert.equal(typeof parseKeyRules(`shop/production=${key}`), 'string', key)
  const shared = parseKeyRules(`*/*=${VAULT}/{app}-{environment}`)
  assert.ok(typeof shared === 'string' && /something else than -/.test(shared))
})

test('no two environments share a key that is named after both', () => {
  const table = rules(`*/*=${VAULT}/{app}_{environment}`)
  const name = fc.stringMatching(/^[a-z][a-z0-9]{0,3}(?:-[a-z0-9]{1,3})?$/)
  fc.assert(
    fc.property(name, name, name, name, (app, environment, other, more) => {
      const [one, two] = [of(app, environment), of(other, more)]
      fc.pre(refKey(one) !== refKey(two))
      assert.notDeepEqual(keyTexts(table, one), keyTexts(table, two))
    }),
  )
})
