import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryTokenStore } from '../../test/fakes/memory-token-store.ts'
import type { TokenRecord } from '../model/store.ts'
import { createRecall } from './recall.ts'
import { RulesCache } from './rules-cache.ts'

function tokenOf(id: string): TokenRecord {
  const times = { createdAt: 1, expiresAt: null, lastUsedAt: null }
  return { id, name: id, hash: `hash of ${id}`, person: null, grants: [], ...times }
}

test('a token that was made just now is known at once, one that was revoked is not for long', async () => {
  let now = 0
  const clock = { now: () => now, elapsed: () => now, sleep: () => Promise.resolve() }
  const store = new MemoryTokenStore()
  const recall = createRecall({
    store,
    clock,
    sessions: { recall: () => Promise.resolve(null) },
    rules: new RulesCache(store.access, clock),
  })
  const nameOf = async (id: string): Promise<string | null> =>
    (await recall(`fwy_${id}`))?.name ?? null
  await store.addToken(tokenOf('first'))
  assert.equal(await nameOf('first'), 'first')
  await store.addToken(tokenOf('second'))
  assert.equal(await nameOf('second'), 'second')
  assert.equal(await nameOf('nobody'), null)
  await store.deleteToken('first')
  now += 3_000
  assert.equal(await nameOf('first'), null)
  assert.equal(await nameOf('second'), 'second')
})
