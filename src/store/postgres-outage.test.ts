import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import pino from 'pino'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { minimalEnv, start } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'
import type { Store } from '../model/store.ts'
import { startCutProxy } from '../../test/cut-proxy.ts'
import {
  postgresPrograms,
  startPostgresCluster,
  type PostgresCluster,
} from '../../test/postgres-cluster.ts'
import { refOf, releaseOf } from '../../test/store-suite.ts'
import { MIGRATIONS } from './migrations.ts'
import type { PostgresOptions } from './postgres-database.ts'
import { openPostgresStore } from './postgres-store.ts'

const programs = postgresPrograms()
const skip = 'missing' in programs ? programs.missing : false
const shop = refOf('shop')

describe('PostgreSQL with others and in trouble', { skip }, () => {
  let cluster: PostgresCluster
  let folder: string
  const opened: Store[] = []
  before(async () => {
    assert.ok('folder' in programs)
    folder = await mkdtemp(join(tmpdir(), 'fairway-outage-'))
    cluster = await startPostgresCluster(programs.folder)
    await cluster.start()
  })
  after(async () => {
    for (const store of opened) await store.close()
    await cluster.remove()
    await rm(folder, { recursive: true, force: true })
  })

  async function open(url: string, options: Partial<PostgresOptions> = {}): Promise<Store> {
    const base = { url, clock: systemClock, log: silentLog, random: Math.random }
    const store = await openPostgresStore({ ...base, ...options })
    opened.push(store)
    return store
  }

  /** The number of connections that wait or work now. */
  async function connections(url: string, condition = 'true'): Promise<number> {
    const rows = await cluster.query(
      'postgres',
      `select count(*)::int as n from pg_stat_activity where datname = '${nameOf(url)}' and ${condition}`,
    )
    return Number(rows[0]?.['n'])
  }

  /** From now on nobody can change apps, until they are released: whoever looks who waits for them has the time that it takes. */
  async function holdApps(url: string): Promise<{ readonly release: () => Promise<void> }> {
    const held = cluster
      .query(nameOf(url), 'begin; lock table apps in exclusive mode; select pg_sleep(600)')
      .then(
        () => undefined,
        (error: unknown) => assert.match(String(error), /canceling statement/),
      )
    const holds = `datname = '${nameOf(url)}' and wait_event = 'PgSleep'`
    while ((await connections(url, holds)) === 0) await systemClock.sleep(10)
    const cancel = `select pg_cancel_backend(pid) from pg_stat_activity where ${holds}`
    return {
      release: async () => {
        await cluster.query('postgres', cancel)
        await held
      },
    }
  }

  test('servers that start at once on an empty database all come up, with one schema', async () => {
    const url = await cluster.newDatabase()
    const stores = await Promise.all([1, 2, 3, 4].map(() => open(url)))
    await Promise.all(stores.map((store, i) => store.ensureApp(refOf(`app${String(i)}`), i)))
    assert.equal((await stores[0]?.listApps())?.length, 4)
    const rows = await cluster.query(nameOf(url), 'select number from migrations order by number')
    assert.deepEqual(
      rows.map(({ number }) => number),
      MIGRATIONS.map((_, i) => i + 1),
    )
  })

  test('two servers number releases without gaps or doubles and lose no change', async () => {
    const url = await cluster.newDatabase()
    const [a, b] = [await open(url), await open(url)]
    await a.ensureApp(shop, 1)
    const numbers = await Promise.all(
      Array.from({ length: 30 }, (_, i) => (i % 2 === 0 ? a : b).addRelease(releaseOf(shop))),
    )
    await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        (i % 2 === 0 ? a : b).setConfig(shop, { [`K${String(i)}`]: 'x' }),
      ),
    )
    assert.deepEqual(
      numbers.map(({ number }) => number).sort((x, y) => x - y),
      Array.from({ length: 30 }, (_, i) => i + 1),
    )
    const record = await b.getApp(shop)
    assert.equal(Object.keys(record?.config ?? {}).length, 30)
    assert.equal(record?.configVersion, 30)
  })

  test('never more connections than the URL says, and calls wait for one', async () => {
    const url = await cluster.newDatabase()
    const store = await open(`${url}?max=2`)
    await store.ensureApp(shop, 1)
    const { release } = await holdApps(url)
    const calls = Promise.all(Array.from({ length: 60 }, () => store.setScale(shop, { web: 1 })))
    const waiting = `application_name = 'fairway' and wait_event_type = 'Lock'`
    while ((await connections(url, waiting)) < 2) await systemClock.sleep(10)
    assert.equal(await connections(url, `application_name = 'fairway'`), 2)
    await release()
    await calls
  })

  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    test(`a restart of PostgreSQL in mid-work (${signal}) is waited out, and nothing acknowledged is lost`, async () => {
      const url = await cluster.newDatabase()
      const stores = [await open(url), await open(url)]
      await stores[0]?.ensureApp(shop, 1)
      const acknowledged: number[] = []
      const failures: unknown[] = []
      let working = true
      const workers = stores.flatMap((store) =>
        [1, 2].map(async () => {
          while (working) {
            try {
              acknowledged.push((await store.addRelease(releaseOf(shop))).number)
            } catch (error) {
              failures.push(error)
            }
          }
        }),
      )
      const until = async (count: number): Promise<void> => {
        while (acknowledged.length < count) await systemClock.sleep(5)
      }
      await until(20)
      await cluster.stop(signal)
      await systemClock.sleep(300)
      const before = acknowledged.length
      await cluster.start()
      await until(before + 20)
      working = false
      await Promise.all(workers)
      // Only a commit that was on its way may fail: whether it was kept is not known.
      for (const error of failures)
        assert.match(String(error), /while a change was being committed/)
      assert.ok(failures.length <= 4)
      const kept = (await stores[1]?.listReleases(shop, 1_000_000))?.map(({ number }) => number)
      assert.ok(kept !== undefined)
      assert.deepEqual(
        kept.toReversed(),
        kept.map((_, i) => i + 1),
        'no gaps, no doubles',
      )
      assert.equal(new Set(acknowledged).size, acknowledged.length)
      assert.deepEqual(
        acknowledged.filter((number) => number > kept.length),
        [],
      )
      assert.ok(kept.length <= acknowledged.length + failures.length)
    })
  }

  test('while it is away a call fails after its patience, names the database, and works again afterwards', async () => {
    const url = await cluster.newDatabase()
    const store = await open(url, { patienceMs: 300 })
    await store.ensureApp(shop, 1)
    await cluster.stop('SIGINT')
    for (const call of [() => store.setActive(shop, 1), () => store.listApps()]) {
      const began = performance.now()
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof FairwayError)
        assert.equal(error.code, 'STORE_UNAVAILABLE')
        assert.match(error.message, /the database fairway@127\.0\.0\.1:\d+\/test\d+ cannot be/)
        assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes(cluster.password))
        return true
      })
      assert.ok(performance.now() - began < 3000)
    }
    await cluster.start()
    await store.setActive(shop, 1)
    assert.equal((await store.getApp(shop))?.active, 1)
  })

  test('a server that starts before its database waits for it', async () => {
    const url = await cluster.newDatabase()
    await cluster.stop('SIGINT')
    const opening = open(url)
    await systemClock.sleep(200)
    await cluster.start()
    await (await opening).ensureApp(shop, 1)
    await cluster.stop('SIGINT')
    await assert.rejects(open(url, { startPatienceMs: 200 }), { code: 'STORE_UNAVAILABLE' })
    await cluster.start()
  })

  test('a connection that an administrator ends in the middle of a change costs nothing', async () => {
    const url = await cluster.newDatabase()
    const store = await open(url)
    await store.ensureApp(shop, 1)
    const { release } = await holdApps(url)
    const change = store.setConfig(shop, { A: '1' })
    const waits = `wait_event_type = 'Lock' and datname = '${nameOf(url)}'`
    while ((await connections(url, waits)) === 0) await systemClock.sleep(10)
    await cluster.query(
      'postgres',
      `select pg_terminate_backend(pid) from pg_stat_activity where ${waits}`,
    )
    await release()
    assert.equal((await change).configVersion, 1)
  })

  test('a commit whose answer is lost is told as such, and was kept once', async () => {
    const url = await cluster.newDatabase()
    const proxy = await startCutProxy(cluster.port)
    try {
      const store = await open(url.replace(`:${String(cluster.port)}/`, `:${String(proxy.port)}/`))
      await store.ensureApp(shop, 1)
      proxy.cutAfter('commit')
      await assert.rejects(store.setConfig(shop, { A: '1' }), {
        code: 'STORE_UNAVAILABLE',
        message: /kept as a whole or not at all/,
      })
      assert.equal((await store.getApp(shop))?.configVersion, 1)
      // Before the commit nothing is in doubt: it is done again.
      proxy.cutAfter('update "apps"')
      assert.equal((await store.setConfig(shop, { B: '2' })).configVersion, 2)
    } finally {
      await proxy.close()
    }
  })

  test('a statement that takes too long is ended, and one that is never answered too', async () => {
    const url = await cluster.newDatabase()
    const store = await open(url, { statementMs: 1000, patienceMs: 10_000 })
    await store.ensureApp(shop, 1)
    const { release } = await holdApps(url)
    await assert.rejects(store.setActive(shop, 1), {
      code: 'STORE_UNAVAILABLE',
      message: /took too long/,
    })
    await release()
    await store.setActive(shop, 1)
    const pids = await cluster.query(
      'postgres',
      `select pid from pg_stat_activity where datname = '${nameOf(url)}' and pid <> pg_backend_pid()`,
    )
    const frozen = pids.map(({ pid }) => Number(pid))
    assert.ok(frozen.length > 0)
    for (const pid of frozen) process.kill(pid, 'SIGSTOP')
    try {
      // The frozen connection is given up, and a new one answers.
      assert.equal((await store.getApp(shop))?.active, 1)
    } finally {
      for (const pid of frozen) process.kill(pid, 'SIGCONT')
    }
  })

  test('what was resolved survives kill -9 of the server and of PostgreSQL', async () => {
    const url = await cluster.newDatabase()
    const log = join(folder, 'acknowledged')
    const script = join(folder, 'writer.ts')
    const source = (file: string) => JSON.stringify(new URL(file, import.meta.url).href)
    await writeFile(
      script,
      `import { appendFileSync } from 'node:fs'
       import { openPostgresStore } from ${source('./postgres-store.ts')}
       import { refOf, releaseOf } from ${source('../../test/store-suite.ts')}
       import { systemClock } from ${source('../lib/clock.ts')}
       import { silentLog } from ${source('../lib/log.ts')}
       const store = await openPostgresStore({ url: ${JSON.stringify(url)}, clock: systemClock, log: silentLog, random: Math.random })
       await store.ensureApp(refOf('shop'), 1)
       for (;;) appendFileSync(${JSON.stringify(log)}, (await store.addRelease(releaseOf(refOf('shop')))).number + '\\n')`,
    )
    const child = await start(process.execPath, [script], {
      env: minimalEnv(),
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    const lines = async () => (await readFile(log, 'utf8').catch(() => '')).split('\n').slice(0, -1)
    try {
      while ((await lines()).length < 30 && child.exitCode === null) await systemClock.sleep(10)
    } finally {
      child.kill('SIGKILL')
      await ended
    }
    await cluster.stop('SIGKILL')
    await cluster.start()
    const acknowledged = (await lines()).length
    const kept = await (await open(url)).listReleases(shop, 100_000)
    assert.ok(acknowledged >= 30, `the writer got to ${String(acknowledged)}`)
    assert.equal(kept[0]?.number, kept.length)
    assert.ok(kept.length === acknowledged || kept.length === acknowledged + 1)
  })

  test('a commit is on the disk also where the database is set to report it before', async () => {
    const url = await cluster.newDatabase()
    await cluster.query('postgres', `alter database ${nameOf(url)} set synchronous_commit = off`)
    const store = await open(url)
    await store.ensureApp(shop, 1)
    await cluster.query(
      nameOf(url),
      `create table seen (setting text);
       create function see() returns trigger language plpgsql as
         'begin insert into seen values (current_setting(''synchronous_commit'')); return new; end';
       create trigger see after update on apps for each row execute function see()`,
    )
    await store.setActive(shop, 1)
    assert.deepEqual(await cluster.query(nameOf(url), 'select setting from seen'), [
      { setting: 'on' },
    ])
  })

  test('TLS is verified as the URL says', async () => {
    const url = await cluster.newDatabase()
    const trusting = `${url}?sslmode=verify-full&sslrootcert=${encodeURIComponent(cluster.authority)}`
    const store = await open(trusting)
    await store.ensureApp(shop, 1)
    assert.equal(
      await connections(
        url,
        `pid in (select pid from pg_stat_ssl where ssl and version like 'TLS%')`,
      ),
      1,
    )
    await assert.rejects(open(`${url}?sslmode=verify-full`), {
      code: 'STORE_UNAVAILABLE',
      message: /refuses: self-signed certificate/,
    })
    await assert.rejects(open(`${url}?sslmode=verify-full&sslrootcert=/not/there`), {
      code: 'INVALID_REQUEST',
      message: /names \/not\/there, which cannot be read/,
    })
  })

  test('a wrong password, database or encoding is refused at once, and no password is shown', async () => {
    const url = await cluster.newDatabase()
    const secret = 'Wr0ng-and-secret'
    const wrong = url.replace(cluster.password, secret)
    const cases = [
      { url: wrong, code: 'STORE_UNAVAILABLE', message: /password authentication failed/ },
      {
        url: url.replace(nameOf(url), 'nobody'),
        code: 'STORE_UNAVAILABLE',
        message: /"nobody" does not exist/,
      },
      {
        url: await cluster.newDatabase(`encoding 'LATIN1' locale 'C' template template0`),
        code: 'INVALID_REQUEST',
        message: /encoding LATIN1/,
      },
    ]
    for (const { url: bad, code, message } of cases) {
      const lines: string[] = []
      const log = pino({ level: 'debug' }, { write: (line) => lines.push(line) })
      const began = performance.now()
      await assert.rejects(open(bad, { log }), (error) => {
        assert.ok(error instanceof FairwayError)
        assert.equal(error.code, code)
        assert.match(error.message, message)
        log.error({ err: error }, 'ends')
        const shown = inspect(error, { depth: 9, showHidden: true }) + lines.join('')
        assert.ok(!shown.includes(secret) && !shown.includes(cluster.password), shown)
        return true
      })
      assert.ok(performance.now() - began < 5000)
    }
  })

  test('a newer schema is refused and left as it is', async () => {
    const url = await cluster.newDatabase()
    await open(url)
    await cluster.query(nameOf(url), `insert into migrations values (999, 'from the future', 1)`)
    await assert.rejects(open(url), { code: 'CONFLICT', message: /newer Fairway \(schema 999/ })
  })

  test('a text with a NUL is refused by name', async () => {
    const store = await open(await cluster.newDatabase())
    await assert.rejects(store.setSetting('a', 'b\0'), {
      code: 'INVALID_REQUEST',
      message: /NUL/,
    })
  })
})

function nameOf(url: string): string {
  return new URL(url).pathname.slice(1)
}
