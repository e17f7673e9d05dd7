import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { MemoryTokenStore } from '../../test/fakes/memory-token-store.ts'
import { systemClock } from '../lib/clock.ts'
import { EVERYTHING, grantOf, PLATFORM, type Role } from '../model/identity.ts'
import { createIdentity, type ClaimableIdentity } from './identity.ts'

class Setup {
  now = 1_700_000_000_000
  readonly store = new MemoryTokenStore()
  readonly identity: ClaimableIdentity

  constructor() {
    const clock = { now: () => this.now, elapsed: () => this.now, sleep: () => Promise.resolve() }
    this.identity = createIdentity({ store: this.store, clock, randomBytes })
  }

  async token(name: string, role: Role = 'developer', expiresAt: number | null = null) {
    return await this.identity.createToken(PLATFORM, {
      name,
      person: null,
      grants: [grantOf(role)],
      expiresAt,
    })
  }
}

test('the claim code works once and makes an admin', async () => {
  const { identity, store } = new Setup()
  const code = await identity.openClaim()
  assert.match(code ?? '', /^[0-9A-Za-z]{32}$/)
  assert.ok(![...store.settings.values()].includes(code ?? ''))
  const { token, view } = await identity.claim(code ?? '', 'ada')
  assert.deepEqual(view.grants, [EVERYTHING])
  assert.deepEqual(await identity.authenticate(token), {
    id: view.id,
    name: 'ada',
    kind: 'user',
    groups: [],
    grants: [EVERYTHING],
  })
  await assert.rejects(identity.claim(code ?? '', 'eve'), { code: 'CLAIM_USED' })
  assert.equal(await identity.openClaim(), null)
})

test('a code that has been used is reported, a wrong one is not', async () => {
  let told = 0
  const { store } = new Setup()
  const claimed = async (): Promise<void> => {
    told += 1
    await Promise.resolve()
  }
  const identity = createIdentity({ store, clock: systemClock, randomBytes, claimed })
  const code = (await identity.openClaim()) ?? ''
  await assert.rejects(identity.claim('wrong', 'eve'), { code: 'UNAUTHENTICATED' })
  assert.equal(told, 0)
  await identity.claim(code, 'ada')
  assert.equal(told, 1)
})

test('of many who claim at the same time one gets a token', async () => {
  const { identity, store } = new Setup()
  const code = (await identity.openClaim()) ?? ''
  const results = await Promise.allSettled([1, 2, 3, 4].map((n) => identity.claim(code, `n${n}`)))
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  assert.equal(store.tokens.length, 1)
})

test('a new start makes a new code and ends the old one', async () => {
  const { identity } = new Setup()
  const old = (await identity.openClaim()) ?? ''
  const code = (await identity.openClaim()) ?? ''
  await assert.rejects(identity.claim(old, 'ada'), { code: 'UNAUTHENTICATED' })
  await identity.claim(code, 'ada')
})

test('wrong codes are limited, and the limit passes', async () => {
  const setup = new Setup()
  const code = (await setup.identity.openClaim()) ?? ''
  for (let n = 0; n < 10; n += 1) {
    await assert.rejects(setup.identity.claim('wrong', 'eve'), { code: 'UNAUTHENTICATED' })
  }
  await assert.rejects(setup.identity.claim(code, 'ada'), { code: 'LIMIT_EXCEEDED' })
  setup.now += 60_000
  await setup.identity.claim(code, 'ada')
})

test('a code is needed again once the only admin token has expired', async () => {
  const setup = new Setup()
  await setup.token('short', 'admin', setup.now + 1000)
  assert.equal(await setup.identity.openClaim(), null)
  setup.now += 1000
  assert.notEqual(await setup.identity.openClaim(), null)
})

test('tokens: kept as a hash, found again, never listed', async () => {
  const setup = new Setup()
  const { identity, store } = setup
  const made = await setup.token('ci', 'viewer')
  assert.match(made.token, /^fwy_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}$/)
  const secret = made.token.split('_')[2] ?? ''
  assert.ok(!JSON.stringify(store.tokens).includes(secret))
  const listed = JSON.stringify(await identity.listTokens(PLATFORM))
  assert.ok(!listed.includes(secret))
  assert.ok(!listed.includes(store.tokens[0]?.hash ?? '-'))
  assert.equal((await identity.authenticate(made.token))?.grants[0]?.role, 'viewer')
})

test('what is not exactly the token is nobody', async () => {
  const setup = new Setup()
  const { token } = await setup.token('ci')
  const before = setup.store.finds
  for (const wrong of [
    '',
    'fwy_',
    token.slice(0, -1),
    `${token}0`,
    `${token} `,
    token.toLowerCase(),
  ]) {
    assert.equal(await setup.identity.authenticate(wrong), null, wrong)
  }
  const last = token.endsWith('A') ? 'B' : 'A'
  assert.equal(await setup.identity.authenticate(token.slice(0, -1) + last), null)
  assert.ok(setup.store.finds <= before + 2)
})

test('a token ends when it expires, also out of the cache', async () => {
  const setup = new Setup()
  const { token } = await setup.token('ci', 'developer', setup.now + 5000)
  assert.notEqual(await setup.identity.authenticate(token), null)
  setup.now += 5000
  assert.equal(await setup.identity.authenticate(token), null)
})

test('a revoked token ends at once', async () => {
  const setup = new Setup()
  const { token, view } = await setup.token('ci')
  assert.notEqual(await setup.identity.authenticate(token), null)
  assert.equal(await setup.identity.revokeToken(PLATFORM, view.id), true)
  assert.equal(await setup.identity.authenticate(token), null)
  assert.equal(await setup.identity.revokeToken(PLATFORM, view.id), false)
})

test('a look-up that overlaps a revocation does not bring the token back', async () => {
  const setup = new Setup()
  const { token, view } = await setup.token('ci')
  await Promise.all([
    setup.identity.authenticate(token),
    setup.identity.revokeToken(PLATFORM, view.id),
  ])
  assert.equal(await setup.identity.authenticate(token), null)
})

test('the last admin token cannot be revoked', async () => {
  const setup = new Setup()
  const first = await setup.token('one', 'admin')
  await assert.rejects(setup.identity.revokeToken(PLATFORM, first.view.id), { code: 'CONFLICT' })
  await setup.token('two', 'admin')
  assert.equal(await setup.identity.revokeToken(PLATFORM, first.view.id), true)
})

test('names are unique, expiry lies ahead', async () => {
  const setup = new Setup()
  await setup.token('ci')
  await assert.rejects(setup.token('ci'), { code: 'CONFLICT' })
  await assert.rejects(setup.token('old', 'viewer', setup.now), { code: 'INVALID_REQUEST' })
})

test('the store is asked and written rarely', async () => {
  const setup = new Setup()
  const { token } = await setup.token('ci')
  for (let n = 0; n < 50; n += 1) await setup.identity.authenticate(token)
  assert.deepEqual([setup.store.finds, setup.store.touches], [1, 1])
  setup.now += 61_000
  for (let n = 0; n < 50; n += 1) await setup.identity.authenticate(token)
  assert.deepEqual([setup.store.finds, setup.store.touches], [2, 2])
})
