import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { Secret } from '../model/secrets.ts'
import { openSqliteStore } from '../store/sqlite-store.ts'
import { Authority } from '../workload/authority.ts'
import { identityVault } from './identity-vault.ts'

const WEB = { trustDomain: 'example.org', path: '/production/shop/web' }
const KEY = randomBytes(32)

async function bed(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-vault-'))
  const store = await openSqliteStore({ path: join(folder, 'fairway.db'), clock: systemClock })
  t.after(async () => {
    await store.close()
    await rm(folder, { recursive: true })
  })
  const clearFile = join(folder, 'authority.json')
  const vaultOf = (key: Buffer = KEY) =>
    identityVault({
      store,
      clearFile,
      serverKey: () => Promise.resolve(Secret.of(key)),
      random: randomBytes,
    })
  /** As a server that has just started. */
  const open = async (key: Buffer = KEY): Promise<Authority> => {
    const authority = new Authority({
      trustDomain: 'example.org',
      vault: vaultOf(key),
      clock: systemClock,
      log: silentLog,
      times: { svidMs: 3_600_000, rootMs: 86_400_000 },
    })
    await authority.open()
    return authority
  }
  const rootsOf = async (key: Buffer = KEY): Promise<readonly string[]> => {
    const authority = await open(key)
    await authority.x509Svid(WEB)
    return (await authority.bundle()).roots
  }
  return { store, clearFile, vaultOf, rootsOf, open }
}

test('all servers of one store and key are one authority, and the store alone shows no key', async (t) => {
  const { store, rootsOf } = await bed(t)
  const first = await rootsOf()
  assert.deepEqual(await rootsOf(), first)
  const text = (await store.getSetting('identities.authority')) ?? ''
  assert.match(text, /^v1\.[\w-]+$/)
  assert.ok(!Buffer.from(text.slice(3), 'base64url').includes('PRIVATE'))
})

test('keys under another server key, or of a newer version, are not lost, and no reason to be down', async (t) => {
  const { store, rootsOf, open } = await bed(t)
  const first = await rootsOf()
  const other = randomBytes(32)
  const second = await rootsOf(other)
  assert.notDeepEqual(second, first)
  assert.notDeepEqual(await rootsOf(other), second, 'they were in memory alone')
  assert.deepEqual(await rootsOf(), first)
  await store.setSetting('identities.authority', 'v2.something')
  await rootsOf()
  assert.equal(await store.getSetting('identities.authority'), 'v2.something')
  const made = await open(other)
  await made.replace()
  assert.deepEqual(await rootsOf(other), (await made.bundle()).roots, 'on purpose they are')
})

test('a damaged file is not taken over', async (t) => {
  const { clearFile, rootsOf, store } = await bed(t)
  await writeFile(clearFile, '{"version":1')
  await rootsOf()
  assert.ok(existsSync(clearFile))
  assert.equal(await store.getSetting('identities.authority'), null)
})

test('what earlier versions kept in clear is taken over once, and is gone from the disk', async (t) => {
  const { clearFile, vaultOf, rootsOf } = await bed(t)
  const roots = await rootsOf()
  const clear = (await vaultOf().load()) ?? ''
  const next = await bed(t)
  await writeFile(next.clearFile, clear)
  assert.deepEqual(await next.rootsOf(), roots)
  assert.equal(existsSync(next.clearFile), false)
  assert.deepEqual(await next.rootsOf(), roots)
  // A server that is not the first of a store has another one's.
  await writeFile(clearFile, 'of another server')
  assert.deepEqual(await rootsOf(), roots)
  assert.equal(existsSync(clearFile), false)
})
