import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { checkPlaces } from '../../test/audit-suite.ts'
import { systemClock } from '../lib/clock.ts'
import { CHAIN_START, readLink } from '../lib/hash-chain.ts'
import { silentLog } from '../lib/log.ts'
import type { AuditEvent } from '../model/audit.ts'
import { ChainVerifier } from './chain-verifier.ts'
import { FairwayError } from '../model/errors.ts'
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
  return new AuditLog({ ...optionsOf(store), ...options })
}

function optionsOf(store: AuditedStore): AuditLogOptions {
  let kept: Checkpoint | null = null
  return {
    store: store.audit,
    clock: systemClock,
    log: silentLog,
    signer: createSigner(newSigningKey()),
    memory: {
      read: () => Promise.resolve(kept),
      write: (checkpoint) => Promise.resolve(void (kept = checkpoint)),
    },
    keptMs: 400 * 86_400_000,
  }
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

test('records are found by place', async () => {
  await checkPlaces((await newStore()).audit)
})

test('a flood of denials is counted, not kept', async () => {
  const store = await newStore()
  // All within one of the windows that they are counted by, however long it takes.
  const audit = newLog(store, { clock: { ...systemClock, now: () => 1_000_000 } })
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

async function linesOf(lines: AsyncIterable<string>): Promise<readonly string[]> {
  return await Array.fromAsync(lines)
}

function findingsIn(
  lines: readonly string[],
  options: ConstructorParameters<typeof ChainVerifier>[0] = {},
): readonly string[] {
  const verifier = new ChainVerifier(options)
  for (const line of lines) verifier.take(line)
  return verifier.end().findings
}

test('any record or byte that is changed, removed, swapped, added or cut off is found', async () => {
  const store = await newStore()
  const audit = newLog(store)
  await audit.open()
  for (let index = 0; index < 40; index++) {
    const name = `\u2028 ${'é'.repeat(index)} "${String(index)}"`
    await audit.record({ ...eventOf(name), facts: { set: [name], 1: 2 } })
  }
  const lines = await linesOf(audit.export())
  await audit.close()
  assert.deepEqual(findingsIn(lines), [])
  const at = fc.nat(lines.length - 1)
  const found = (changed: readonly string[]): boolean => findingsIn(changed).length > 0
  fc.assert(
    fc.property(at, at, fc.nat(), fc.nat(65_535), (one, other, place, code) => {
      const line = lines[one] ?? ''
      const byte = place % line.length
      const letter = String.fromCharCode(code)
      if (letter !== line[byte])
        assert.ok(found(lines.with(one, line.slice(0, byte) + letter + line.slice(byte + 1))))
      assert.ok(found(lines.toSpliced(one, 1)), 'removed')
      assert.ok(found(lines.slice(0, one)), 'cut at the end')
      if (one > 0) assert.ok(found(lines.slice(one)), 'cut at the beginning')
      assert.ok(found(lines.toSpliced(other, 0, line)), 'added')
      if (one !== other)
        assert.ok(found(lines.with(one, lines[other] ?? '').with(other, line)), 'swapped')
    }),
    { numRuns: 100 },
  )
})

test('of the checkpoint at the end every letter counts, also where its last bits say nothing', async () => {
  const audit = newLog(await newStore())
  await audit.open()
  const lines = await linesOf(audit.export())
  await audit.close()
  const end = lines.at(-1) ?? ''
  for (let at = 0; at < end.length; at++) {
    const next = String.fromCharCode(end.charCodeAt(at) + 1)
    const changed = end.slice(0, at) + next + end.slice(at + 1)
    assert.notDeepEqual(findingsIn(lines.with(-1, changed)), [], changed)
  }
})

test('a chain that was written anew is found by the key, and by a checkpoint that was kept', async () => {
  const [honest, forged] = [newLog(await newStore()), newLog(await newStore())]
  await honest.open()
  await forged.open()
  for (let index = 0; index < 5; index++) {
    await honest.record(eventOf('ada'))
    await forged.record(eventOf('eve'))
  }
  const [lines, others] = [await linesOf(honest.export()), await linesOf(forged.export())]
  await honest.close()
  await forged.close()
  const { checkpoint } = verified(lines)
  assert.ok(checkpoint !== null)
  assert.deepEqual(findingsIn(lines, { trusted: [checkpoint.key], kept: [checkpoint] }), [])
  assert.deepEqual(findingsIn(others), [])
  assert.notDeepEqual(findingsIn(others, { trusted: [checkpoint.key] }), [])
  assert.notDeepEqual(findingsIn(others, { kept: [checkpoint] }), [])
  // Cut, and sworn to again by the server that does not know: only who kept a checkpoint sees it.
  const shorter = { ...checkpoint, seq: 1000 }
  assert.notDeepEqual(findingsIn(lines, { kept: [shorter] }), [])
})

function verified(lines: readonly string[]) {
  const verifier = new ChainVerifier()
  for (const line of lines) verifier.take(line)
  return verifier.end()
}

test('what was forgotten by age is vouched for; what somebody else took away is not', async () => {
  const store = await newStore()
  let now = 1_000_000
  const clock = { ...systemClock, now: () => now }
  const options = { clock, keptMs: 1000 }
  const first = newLog(store, options)
  await first.open()
  for (let index = 0; index < 10; index++) await first.record(eventOf('old'))
  await first.close()
  now += 4_000_000
  const second = newLog(store, options)
  await second.open()
  await second.record(eventOf('new'))
  await second.forget()
  const lines = await linesOf(second.export())
  await second.close()
  assert.ok(!lines.some((line) => line.includes('"name":"old"')))
  assert.ok(lines.some((line) => line.includes('"name":"new"')))
  assert.deepEqual(findingsIn(lines), [])
  assert.notDeepEqual(findingsIn(lines.slice(1)), [])
})

test('while nothing can be written guarded things are refused, others are counted and told of later', async () => {
  const store = await newStore()
  let full = false
  const audit = new AuditLog({
    ...optionsOf(store),
    store: {
      head: () => store.audit.head(),
      after: (...args) => store.audit.after(...args),
      newest: (...args) => store.audit.newest(...args),
      forget: (...args) => store.audit.forget(...args),
      append: (chain) =>
        full ? Promise.reject(new FairwayError('DISK_FULL', 'full')) : store.audit.append(chain),
    },
  })
  await audit.open()
  full = true
  await assert.rejects(
    audit.record(eventOf('a')),
    (error) => error instanceof FairwayError && error.code === 'AUDIT_UNAVAILABLE',
  )
  await audit.note(eventOf('b'))
  await audit.note(eventOf('c'))
  full = false
  await audit.record(eventOf('d'))
  await audit.close()
  const lost = (await chainOf(store)).filter(({ line }) => line.includes('"audit:lost"'))
  assert.equal(lost.length, 1)
  assert.match(lost[0]?.line ?? '', /"count":2/)
})

test('a record that is changed under a running server, or between two runs, is told', async () => {
  const store = await newStore()
  let kept: Checkpoint | null = null
  const memory: AuditLogOptions['memory'] = {
    read: () => Promise.resolve(kept),
    write: (checkpoint) => Promise.resolve(void (kept = checkpoint)),
  }
  const first = newLog(store, { memory })
  await first.open()
  await first.record(eventOf('a'))
  await first.close()
  const other = await newStore()
  const second = newLog(other, { memory })
  await second.open()
  await second.close()
  const broken = (await chainOf(other)).filter(({ line }) => line.includes('"audit:broken"'))
  assert.equal(broken.length, 1)
})
