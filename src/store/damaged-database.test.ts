import assert from 'node:assert/strict'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { refOf, releaseOf } from '../../test/store-suite.ts'
import { systemClock as clock } from '../lib/clock.ts'
import { openSqliteStore } from './sqlite-store.ts'

const shop = refOf('shop')
let folder: string
/** As it was closed, and as it lies there while it is open. */
let closed: Buffer
let live: { readonly main: Buffer; readonly wal: Buffer }

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fairway-damage-'))
  const path = join(folder, 'first.db')
  const store = await openSqliteStore({ path, clock })
  await store.ensureApp(shop, 1)
  for (let number = 0; number < 60; number++) await store.addRelease(releaseOf(shop, number))
  live = { main: await readFile(path), wal: await readFile(`${path}-wal`) }
  await store.close()
  closed = await readFile(path)
})
after(() => rm(folder, { recursive: true }))

test('a database that cannot be read is named, with what to do, and stays as it is', async () => {
  const garbled = Buffer.from(closed)
  garbled.fill(7, 8192, 40_960)
  const damages: readonly (readonly [string, Buffer, Buffer | null])[] = [
    ['half', closed.subarray(0, closed.length / 2), null],
    ['head', closed.subarray(0, 100), null],
    ['garbage', Buffer.alloc(8192, 7), null],
    ['middle', garbled, Buffer.alloc(32)],
  ]
  for (const [name, main, wal] of damages) {
    const path = join(folder, `${name}.db`)
    await writeFile(path, main)
    if (wal !== null) await writeFile(`${path}-wal`, wal)
    await assert.rejects(openSqliteStore({ path, clock }), (error: Error & { hint?: string }) => {
      assert.match(error.message, new RegExp(`the database ${path} is damaged: `))
      assert.match(error.hint ?? '', /Restore .* from a backup/)
      return true
    })
    assert.deepEqual(await readFile(path), main, name)
  }
})

test('an end that was being written when the power went is cut off, all before it is there', async () => {
  const path = join(folder, 'torn.db')
  await writeFile(path, live.main)
  await writeFile(`${path}-wal`, live.wal.subarray(0, live.wal.length - 3000))
  const store = await openSqliteStore({ path, clock })
  const kept = (await store.listReleases(shop, 1000)).length
  await store.close()
  assert.ok(kept >= 50 && kept < 60, String(kept))
})

test('a database that is gone or empty is not taken for a first start', async () => {
  const path = join(folder, 'gone.db')
  await (await openSqliteStore({ path, clock })).close()
  await copyFile(path, `${path}.kept`)
  const lose: readonly (() => Promise<void>)[] = [() => rm(path), () => writeFile(path, '')]
  for (const lost of lose) {
    await lost()
    await assert.rejects(openSqliteStore({ path, clock }), /gone\.db is missing or empty/)
  }
  await copyFile(`${path}.kept`, path)
  await (await openSqliteStore({ path, clock })).close()
  await rm(path)
  await rm(`${path}.made`)
  await (await openSqliteStore({ path, clock })).close()
})
