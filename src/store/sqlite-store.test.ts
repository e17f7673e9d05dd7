import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { start } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'
import type { Store } from '../model/store.ts'
import { refOf, releaseOf, testStore } from '../../test/store-suite.ts'
import { Kysely, SqliteDialect } from 'kysely'
import { z } from 'zod'
import type { DatabaseSchema } from './database-schema.ts'
import { KyselyStore } from './kysely-store.ts'
import { migrate, MIGRATIONS, SQLITE_TYPES } from './migrations.ts'
import { NodeSqlite } from './node-sqlite.ts'
import { openSqliteStore } from './sqlite-store.ts'
import { singleWriter } from './transactions.ts'

const folder = await mkdtemp(join(tmpdir(), 'fairway-store-'))
const opened: Store[] = []
after(async () => {
  for (const store of opened) await store.close()
  await rm(folder, { recursive: true, force: true })
})
let count = 0

async function open(path: string): Promise<Store> {
  const store = await openSqliteStore({ path, clock: systemClock })
  opened.push(store)
  return store
}

function newPath(): string {
  count++
  return join(folder, String(count), 'fairway.db')
}

testStore('sqlite', async () => {
  const path = newPath()
  const store = await open(path)
  return {
    store,
    reopen: async () => {
      await store.close()
      return open(path)
    },
  }
})

test('a second server on the same data directory is refused with the process that has it', async () => {
  const path = newPath()
  const store = await open(path)
  await assert.rejects(open(path), (error) => {
    assert.ok(error instanceof FairwayError)
    assert.equal(error.code, 'CONFLICT')
    assert.match(error.message, new RegExp(`process ${process.pid}\\)`))
    return true
  })
  await store.close()
  await (await open(path)).close()
})

test('only its owner can read the files', async () => {
  const path = newPath()
  const store = await open(path)
  await store.ensureApp(refOf('shop'), 1)
  for (const suffix of ['', '-wal', '-shm', '.lock'])
    assert.equal((await stat(path + suffix)).mode & 0o777, 0o600, suffix)
})

test('a newer schema is refused and left as it is', async () => {
  const path = newPath()
  await (await open(path)).close()
  const database = new DatabaseSync(path)
  database.exec("insert into migrations values (999, 'from the future', 1)")
  database.close()
  await assert.rejects(open(path), /newer Fairway \(schema 999/)
  // The lock is free again after the refusal.
  await assert.rejects(open(path), /newer Fairway/)
})

test('a database of an earlier version is brought up to date and keeps what it has', async () => {
  const path = newPath()
  await mkdir(dirname(path), { recursive: true })
  const old = new Kysely<DatabaseSchema>({
    dialect: new SqliteDialect({ database: new NodeSqlite(new DatabaseSync(path)) }),
  })
  const first = MIGRATIONS.slice(0, 1)
  await migrate(old, { types: SQLITE_TYPES, clock: systemClock, migrations: first })
  await new KyselyStore(singleWriter(old, () => Promise.resolve())).ensureApp(refOf('shop'), 7)
  await old.destroy()
  const store = await open(path)
  assert.equal((await store.getApp(refOf('shop')))?.createdAt, 7)
  assert.deepEqual(await store.listTargets(), [])
})

test('a broken row is an error that names it, not a wrong answer', async () => {
  const path = newPath()
  const store = await open(path)
  await store.ensureApp(refOf('shop'), 1)
  await store.addRelease(releaseOf(refOf('shop')))
  await store.close()
  const database = new DatabaseSync(path)
  database.exec(`update releases set spec = '{"name":"shop"}'`)
  database.close()
  const again = await open(path)
  await assert.rejects(again.getRelease(refOf('shop'), 1), /releases shop\/production\/1 spec/)
})

test('what was resolved survives kill -9', async () => {
  const path = newPath()
  const log = join(folder, 'acknowledged')
  const script = join(folder, 'writer.ts')
  const source = (file: string) => JSON.stringify(new URL(file, import.meta.url).href)
  await writeFile(
    script,
    `import { appendFileSync } from 'node:fs'
     import { openSqliteStore } from ${source('./sqlite-store.ts')}
     import { refOf, releaseOf } from ${source('../../test/store-suite.ts')}
     import { systemClock } from ${source('../lib/clock.ts')}
     const store = await openSqliteStore({ path: ${JSON.stringify(path)}, clock: systemClock })
     await store.ensureApp(refOf('shop'), 1)
     for (;;) {
       const { number } = await store.addRelease(releaseOf(refOf('shop')))
       appendFileSync(${JSON.stringify(log)}, number + '\\n')
     }`,
  )
  for (let round = 1; round <= 3; round++) {
    const child = await start(process.execPath, [script], {
      env: {},
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    try {
      const wanted = round * 30
      while ((await lastNumber(log)) < wanted && child.exitCode === null) await systemClock.sleep(5)
    } finally {
      child.kill('SIGKILL')
      await ended
    }
    const acknowledged = await lastNumber(log)
    const store = await open(path)
    const releases = await store.listReleases(refOf('shop'), 100_000)
    await store.close()
    assert.ok(acknowledged >= round * 30, `the writer got to ${acknowledged}`)
    assert.ok((releases[0]?.number ?? 0) >= acknowledged)
    assert.equal(releases.length, releases[0]?.number)
  }
})

async function lastNumber(path: string): Promise<number> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return Number(text.slice(0, text.lastIndexOf('\n')).split('\n').at(-1) ?? 0)
}

test('a full disk is DISK_FULL, loses nothing, and is over when there is room again', async () => {
  const path = newPath()
  const store = await open(path)
  const ref = refOf('full')
  await store.ensureApp(ref, 1)
  await store.setConfig(ref, { KEPT: 'yes' })
  await store.close()
  // `max_page_count` is SQLite's own full disk; it holds for one connection, so the file is opened as the store does.
  const database = new DatabaseSync(path)
  const { page_count: pages } = z
    .object({ page_count: z.number() })
    .parse(database.prepare('pragma page_count').get())
  database.exec(`pragma max_page_count = ${String(pages)}`)
  const small = new KyselyStore(
    singleWriter(
      new Kysely<DatabaseSchema>({
        dialect: new SqliteDialect({ database: new NodeSqlite(database) }),
      }),
      () => Promise.resolve(),
    ),
  )
  opened.push(small)
  await assert.rejects(
    small.setConfig(ref, { BIG: 'x'.repeat(1_000_000) }),
    (error) => error instanceof FairwayError && error.code === 'DISK_FULL',
  )
  assert.deepEqual((await small.getApp(ref))?.config, { KEPT: 'yes' })
  database.exec('pragma max_page_count = 1073741823')
  await small.setConfig(ref, { BIG: 'x' })
  assert.deepEqual((await small.getApp(ref))?.config, { KEPT: 'yes', BIG: 'x' })
})
