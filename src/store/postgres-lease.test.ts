import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { Lease } from '../model/lease.ts'
import { testLease } from '../../test/lease-suite.ts'
import {
  postgresPrograms,
  startPostgresCluster,
  type PostgresCluster,
} from '../../test/postgres-cluster.ts'
import { openPostgresLease } from './postgres-lease.ts'

const programs = postgresPrograms()
const skip = 'missing' in programs ? programs.missing : false

describe('lease in PostgreSQL', { skip }, () => {
  let cluster: PostgresCluster
  let folder: string
  const opened: Lease[] = []
  before(async () => {
    assert.ok('folder' in programs)
    folder = await mkdtemp(join(tmpdir(), 'fairway-lease-'))
    cluster = await startPostgresCluster(programs.folder)
    await cluster.start()
  })
  after(async () => {
    for (const lease of opened) await lease.close()
    await cluster.remove()
    await rm(folder, { recursive: true, force: true })
  })

  async function open(url: string, clock: Clock, name = 'reconcile'): Promise<Lease> {
    const lease = await openPostgresLease({
      url,
      name,
      clock,
      log: silentLog,
      random: Math.random,
      patienceMs: 1000,
    })
    opened.push(lease)
    return lease
  }

  testLease('postgres', async () => {
    const url = await cluster.newDatabase()
    const source = (file: string) => JSON.stringify(new URL(file, import.meta.url).href)
    return {
      contender: (clock) => open(url, clock),
      folder: await mkdtemp(join(folder, 'case-')),
      program: `
        import { openPostgresLease } from ${source('./postgres-lease.ts')}
        import { systemClock } from ${source('../lib/clock.ts')}
        import { silentLog } from ${source('../lib/log.ts')}
        const lease = await openPostgresLease({ url: ${JSON.stringify(url)}, name: 'reconcile',
          clock: systemClock, log: silentLog, random: Math.random })`,
    }
  })

  test('leases of different names have nothing to do with each other', async () => {
    const url = await cluster.newDatabase()
    const a = await open(url, systemClock, 'a')
    const b = await open(url, systemClock, 'b')
    assert.notEqual(await a.acquire('x', 60_000), null)
    assert.notEqual(await b.acquire('y', 60_000), null)
  })

  test('while the database is away a renewal fails soon; afterwards the hold is what it was', async () => {
    const lease = await open(await cluster.newDatabase(), systemClock)
    const hold = await lease.acquire('x', 60_000)
    assert.ok(hold !== null)
    await cluster.stop('SIGKILL')
    const began = performance.now()
    await assert.rejects(lease.renew(hold, 60_000), { code: 'STORE_UNAVAILABLE' })
    assert.ok(performance.now() - began < 5000)
    await cluster.start()
    assert.equal(await lease.renew(hold, 60_000), true)
    assert.deepEqual(await lease.current(), hold)
  })
})
