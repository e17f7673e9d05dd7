/** What every store of the audit's rows does. */
import assert from 'node:assert/strict'
import { CHAIN_START } from '../src/lib/hash-chain.ts'
import type { AuditFilter, AuditStore } from '../src/model/audit.ts'
import { recordAfter, type Place } from '../src/audit/audit-record.ts'

const PLACES: readonly (readonly [string | null, string | null])[] = [
  [null, null],
  ['shop', 'production'],
  ['shop', 'staging'],
  ['till', 'production'],
  ['till', null],
  [null, 'production'],
]

/** Records are found by the places that somebody may see, and none is where there are none. @param store an empty one */
export async function checkPlaces(store: AuditStore): Promise<void> {
  await store.append(() => {
    let at: Place = { seq: 0, hash: CHAIN_START, time: 0 }
    return PLACES.map(([app, environment]) => {
      const actor = { kind: 'user', id: 'u1', name: 'ada' } as const
      const event = { actor, action: 'app:deploy', outcome: 'allowed', app, environment } as const
      const { row, place } = recordAfter(at, event, 1)
      at = place
      return row
    })
  })
  const seen = async (filter: AuditFilter): Promise<readonly string[]> =>
    (await store.after(0, 100, filter)).map(
      ({ app, environment }) => `${app ?? ''}/${environment ?? ''}`,
    )
  assert.equal((await seen({})).length, PLACES.length)
  assert.deepEqual(await seen({ places: [] }), [])
  assert.deepEqual(await seen({ places: [{ apps: [], environment: null }] }), [])
  assert.deepEqual(await seen({ places: [{ apps: ['shop'], environment: null }] }), [
    'shop/production',
    'shop/staging',
  ])
  assert.deepEqual(await seen({ places: [{ apps: null, environment: 'production' }] }), [
    'shop/production',
    'till/production',
  ])
  const two = [
    { apps: ['shop'], environment: 'staging' },
    { apps: ['till', 'none'], environment: null },
  ]
  assert.deepEqual(await seen({ places: two }), ['shop/staging', 'till/production', 'till/'])
  assert.deepEqual(await seen({ places: two, app: 'shop' }), ['shop/staging'])
  const newest = await store.newest(1, { places: [{ apps: ['shop'], environment: null }] })
  assert.deepEqual(
    newest.map(({ environment }) => environment),
    ['staging'],
  )
}
