import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { CHAIN_START, readLink } from '../lib/hash-chain.ts'
import { silentLog } from '../lib/log.ts'
import type { AuditEvent } from '../model/audit.ts'
import type { AuditedStore } from '../model/store.ts'
import { openSqliteStore } from '../store/sqlite-store.ts'
import { AuditLog, type AuditLogOptions } from './audit-log.ts'
import { createSigner, newSigningKey, type Checkpoint } from './checkpoint.ts'

const folder = await mkdtemp(join(tmpdir(), 'fairway-audit-'))
const stores: AuditedStore[] = []
after(async () => {
  for (const store of stores) await store.close()
  await rm(folder, { recursive: true, force: true })
})

async function newStore(): Promise<AuditedStore> {
  const path = join(folder, `${String(stores.length)}.db`)
  const store = await openSqliteStore({ path, clock: systemClock })
  stores.push(store)
  return store
}

function newLog(store: AuditedStore, options: Partial<AuditLogOptions> = {}): AuditLog {
  let kept: Checkpoint | null = null
  return new AuditLog({
    store: store.audit,
    clock: systemClock,
    log: silentLog,
    signer: createSigner(newSigningKey()),
    memory: {
      read: () => Promise.resolve(kept),
      write: (checkpoint) => Promise.resolve(void (kept = checkpoint)),
    },
    keptMs: 400 * 86_400_000,
    ...options,
  })
}

function eventOf(name: string, outcome: AuditEvent['outcome'] = 'allowed'): AuditEvent {
  const actor = { kind: 'token', id: `id-${name}`, name } as const
  return { actor, action: 'app:deploy', outcome, app: 'shop', environment: 'production' }
}

async function chainOf(store: AuditedStore): Promise<readonly { line: string }[]> {
  const rows = await store.audit.after(0, 100_000)
  let prev = CHAIN_START
  for (const [index, row] of rows.entries()) {
    const link = readLink(row.line)
    assert.equal(row.seq, index + 1)
    assert.ok(link !== null)
    assert.equal(link.prev, prev)
    prev = link.hash
  }
  assert.equal((await store.audit.head()).hash, prev)
  return rows
}

test('1,000 at the same time are one chain, and every one is in it once', async () => {
  const store = await newStore()
  const audit = newLog(store)
  await audit.open()
  await Promise.all(
    Array.from({ length: 1000 }, (_, index) => audit.record(eventOf(`n${String(index)}`))),
  )
  await audit.close()
  const rows = await chainOf(store)
  const names = rows.map(({ line }) => /"name":"(n\d+)"/.exec(line)?.[1]).filter(Boolean)
  assert.equal(names.length, 1000)
  assert.equal(new Set(names).size, 1000)
})

test('a flood of denials is counted, not kept', async () => {
  const store = await newStore()
  const audit = newLog(store)
  await audit.open()
  for (let index = 0; index < 500; index++) {
    const event = { ...eventOf('x', 'denied'), app: `app${String(index)}` }
    await audit.note({ ...event, actor: { kind: 'nobody', id: null, name: 'nobody' } })
    await audit.note({ ...event, actor: { kind: 'token', id: 't', name: 't' } })
  }
  await audit.close()
  const records = (await chainOf(store)).map(({ line }) => line)
  assert.ok(records.length < 120, `${String(records.length)} records`)
  const counted = records
    .filter((line) => line.includes('"outcome":"denied"'))
    .map((line) => Number(/"count":(\d+)/.exec(line)?.[1] ?? 1))
  assert.equal(
    counted.reduce((sum, count) => sum + count, 0),
    1000,
  )
})
