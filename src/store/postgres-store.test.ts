import assert from 'node:assert/strict'
import { after, before, describe } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import type { Store } from '../model/store.ts'
import {
  postgresPrograms,
  startPostgresCluster,
  type PostgresCluster,
} from '../../test/postgres-cluster.ts'
import { testStore } from '../../test/store-suite.ts'
import type { PostgresOptions } from './postgres-database.ts'
import { openPostgresStore } from './postgres-store.ts'

const programs = postgresPrograms()
const skip = 'missing' in programs ? programs.missing : false

describe('PostgreSQL', { skip }, () => {
  let cluster: PostgresCluster
  const opened = new Set<Store>()
  before(async () => {
    assert.ok('folder' in programs)
    cluster = await startPostgresCluster(programs.folder)
    await cluster.start()
  })
  after(async () => {
    for (const store of opened) await store.close()
    await cluster.remove()
  })

  async function open(url: string, options: Partial<PostgresOptions> = {}): Promise<Store> {
    const store = await openPostgresStore({
      url,
      clock: systemClock,
      log: silentLog,
      random: Math.random,
      ...options,
    })
    opened.add(store)
    return store
  }
  async function close(store: Store): Promise<void> {
    opened.delete(store)
    await store.close()
  }

  testStore('postgres', async () => {
    const url = await cluster.newDatabase()
    const store = await open(url)
    return {
      store,
      reopen: async () => {
        await close(store)
        return open(url)
      },
    }
  })
})
