import assert from 'node:assert/strict'
import { createLocalJWKSet, jwtVerify, SignJWT, UnsecuredJWT } from 'jose'
import { test } from 'node:test'
import fc from 'fast-check'
import { AccessKeys } from './access-keys.ts'
import { AccessTokens } from './access-token.ts'

const DAY = 86_400_000
const CLAIMS = {
  user: 'fairway:token:ci',
  credential: 'fwy_abc',
  environment: null,
  groups: ['fairway:shop--production:developer'],
}

class Bed {
  now = 1_700_000_000_000
  readonly settings = new Map<string, string>()
  readonly clock = { now: () => this.now, elapsed: () => this.now, sleep: () => Promise.resolve() }
  readonly keys = new AccessKeys({
    store: {
      getSetting: (key) => Promise.resolve(this.settings.get(key) ?? null),
      setSetting: (key, value) => {
        if (value === null) this.settings.delete(key)
        else this.settings.set(key, value)
        return Promise.resolve()
      },
    },
    clock: this.clock,
  })
  readonly tokens = new AccessTokens({
    keys: this.keys,
    clock: this.clock,
    issuer: () => 'https://fairway.example:7443',
    randomId: () => 'id',
  })
}

test('a token says who, for which cluster and for five minutes, and a stranger can check it', async () => {
  const { tokens, keys, now } = new Bed()
  const { token, expiresAt } = await tokens.sign(CLAIMS, 'f/prod')
  assert.equal(expiresAt, now + 300_000)
  const { payload, protectedHeader } = await jwtVerify(
    token,
    createLocalJWKSet({ keys: [...(await keys.published()).keys] }),
    { issuer: 'https://fairway.example:7443', audience: 'f/prod', currentDate: new Date(now) },
  )
  assert.equal(protectedHeader.alg, 'ES256')
  assert.equal(payload.sub, 'fairway:token:ci')
  assert.deepEqual(payload['groups'], CLAIMS.groups)
})

test('it counts for its own cluster only, and not after its time', async () => {
  const bed = new Bed()
  const { token } = await bed.tokens.sign(CLAIMS, 'f/prod')
  assert.deepEqual(await bed.tokens.verify(token, 'f/prod'), CLAIMS)
  assert.equal(await bed.tokens.verify(token, 'f/staging'), null)
  assert.equal(await bed.tokens.verify(token, 'f/pro'), null)
  bed.now += 300_001
  assert.equal(await bed.tokens.verify(token, 'f/prod'), null)
})

test('a key that was stolen signs for nobody once it was replaced', async () => {
  const bed = new Bed()
  const { token } = await bed.tokens.sign(CLAIMS, 'f/prod')
  const stolen = await bed.keys.signing()
  await bed.keys.replace()
  assert.equal(await bed.tokens.verify(token, 'f/prod'), null)
  const { keys } = await bed.keys.published()
  assert.equal(keys.length, 1)
  assert.notEqual(keys[0]?.kid, stolen.kid)
  const next = await bed.tokens.sign(CLAIMS, 'f/prod')
  assert.deepEqual(await bed.tokens.verify(next.token, 'f/prod'), CLAIMS)
})

test('tokens of others, without signature or for several clusters count for nothing', async () => {
  const bed = new Bed()
  const other = new Bed()
  const foreign = await other.tokens.sign(CLAIMS, 'f/prod')
  assert.equal(await bed.tokens.verify(foreign.token, 'f/prod'), null)
  const plain = new UnsecuredJWT({ credential: 'fwy_abc' }).setSubject('x').encode()
  assert.equal(await bed.tokens.verify(plain, 'f/prod'), null)
  const { kid, key } = await bed.keys.signing()
  const now = bed.now / 1000
  const wide = await new SignJWT({ credential: 'fwy_abc' })
    .setProtectedHeader({ alg: 'ES256', kid, typ: 'JWT' })
    .setIssuer('https://fairway.example:7443')
    .setSubject('fairway:token:ci')
    .setAudience(['f/prod', 'f/staging'])
    .setJti('id')
    .setIssuedAt(now)
    .setNotBefore(now)
    .setExpirationTime(now + 300)
    .sign(key)
  assert.equal(await bed.tokens.verify(wide, 'f/prod'), null)
})

test('no text that differs from the token is taken for it', async () => {
  const bed = new Bed()
  const { token } = await bed.tokens.sign(CLAIMS, 'f/prod')
  // The last letter of a signature carries bits that decode to nothing.
  const last = token.length - 2
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: last }),
      fc.constantFrom('A', 'x', '-', '_', '.', '0', '=', 'é', ' '),
      async (at, letter) => {
        const changed = token.slice(0, at) + letter + token.slice(at + 1)
        if (changed === token) return
        assert.equal(await bed.tokens.verify(changed, 'f/prod'), null)
      },
    ),
    { numRuns: 200 },
  )
})

test('a key is published before it signs and known after it signed', async () => {
  const bed = new Bed()
  const first = (await bed.keys.signing()).kid
  assert.equal((await bed.keys.published()).keys.length, 1)
  bed.now += 29.5 * DAY
  const [, next] = (await bed.keys.published()).keys
  assert.equal((await bed.keys.signing()).kid, first)
  const late = await bed.tokens.sign(CLAIMS, 'f/prod')
  bed.now += 0.5 * DAY
  const second = await bed.keys.signing()
  assert.equal(second.kid, next?.kid)
  assert.notEqual(second.kid, first)
  assert.equal((await bed.keys.published()).keys.length, 2)
  assert.equal(late.expiresAt < bed.now, true)
  bed.now += 3_600_000
  assert.deepEqual(
    (await bed.keys.published()).keys.map(({ kid }) => kid),
    [second.kid],
  )
})

test('a token signed by the last key is good until it expires', async () => {
  const bed = new Bed()
  await bed.keys.signing()
  bed.now += 30 * DAY - 1000
  const { token } = await bed.tokens.sign(CLAIMS, 'f/prod')
  bed.now += 2000
  assert.notEqual((await bed.keys.signing()).kid, undefined)
  assert.deepEqual(await bed.tokens.verify(token, 'f/prod'), CLAIMS)
})

test('private halves are never published', async () => {
  const bed = new Bed()
  const [key] = (await bed.keys.published()).keys
  assert.deepEqual(Object.keys(key ?? {}).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
})
