import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { AuditedStore } from '../model/store.ts'
import { acquireWriterLock } from '../store/writer-lock.ts'
import type { Config } from './config.ts'
import type { DataFolder } from './data-folder.ts'

export interface StoreOptions {
  readonly config: Pick<Config, 'database' | 'home'>
  readonly folder: DataFolder
  readonly clock: Clock
  readonly log: Log
  /** Called once the database answers, before this server waits for its turn. */
  readonly standsBy?: () => void
}

export interface OpenStore {
  readonly store: AuditedStore
  /** Closes the store, and lets the next server decide. */
  readonly close: () => Promise<void>
}

/** Below the minute that `fairway up` waits, so that it can say what was wrong. */
const START_PATIENCE_MS = 30_000
const LEASE_MS = 30_000
/** In a cluster another server stands by already: it asks often, and takes over soon after one that died. */
const HOME_LEASE_MS = 15_000
const HOME_ASK_MS = 500

/**
 * The store that the configuration names, once this server is the one that decides. SQLite's lock on the data folder says so for one machine;
 * of the servers that share a PostgreSQL database the others wait here until the first has ended or has not renewed its lease for half a minute.
 * @throws FairwayError CONFLICT where another server has the data folder, and as the stores do
 */
export async function openStore(options: StoreOptions): Promise<OpenStore> {
  const { config, folder, clock } = options
  if (config.database !== null) return openShared(options, config.database)
  const { openSqliteStore } = await import('../store/sqlite-store.ts')
  const store = await openSqliteStore({ path: folder.database, clock })
  return { store, close: () => store.close() }
}

async function openShared(options: StoreOptions, url: string): Promise<OpenStore> {
  const { config, folder, clock, log } = options
  // Loaded where they are used: the driver costs memory.
  const { openPostgresStore } = await import('../store/postgres-store.ts')
  const { openPostgresLease } = await import('../store/postgres-lease.ts')
  const { keepLease } = await import('../store/lease-keeper.ts')
  // Instances, images and sources of the folder are one server's.
  const lock = await acquireWriterLock(`${folder.database}.lock`)
  const database = { url, clock, log, random: Math.random, startPatienceMs: START_PATIENCE_MS }
  const store = await openPostgresStore(database)
  const lease = await openPostgresLease({ ...database, name: 'server' })
  options.standsBy?.()
  const keeping = await keepLease(
    {
      lease,
      holder: await serverId(folder),
      ...(config.home === null
        ? { ttlMs: LEASE_MS }
        : { ttlMs: HOME_LEASE_MS, askMs: HOME_ASK_MS }),
      log,
      elapsedMs: () => performance.now(),
    },
    new AbortController().signal,
  )
  keeping.lost.addEventListener('abort', () => {
    // Uncaught on purpose: nothing more may be decided here. The next start waits for its turn.
    throw new FairwayError(
      'STORE_UNAVAILABLE',
      'the lease on the database was lost: another server decides now, or the database does not answer',
      { cause: keeping.lost.reason },
    )
  })
  return {
    store,
    close: async () => {
      await keeping.release()
      await lease.close()
      await store.close()
      await lock.release()
    },
  }
}

/** Names the holder of the data folder, of which there is one at a time: after a crash it need not wait for its own lease. */
async function serverId(folder: DataFolder): Promise<string> {
  const file = join(folder.root, 'server-id')
  const known = await readIfExists(file)
  if (known !== null) return known.trim()
  const id = `${hostname()}-${randomUUID()}`
  await writeAtomically(file, `${id}\n`)
  return id
}
