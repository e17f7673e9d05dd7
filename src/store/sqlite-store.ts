import { chmod, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import type { Clock } from '../model/clock.ts'
import type { AuditedStore } from '../model/store.ts'
import {
  asDamage,
  checkPages,
  expectDatabase,
  refuseLostDatabase,
  wasLeftOpen,
} from './damaged-database.ts'
import type { DatabaseSchema } from './database-schema.ts'
import { KyselyStore } from './kysely-store.ts'
import { migrate, SQLITE_TYPES } from './migrations.ts'
import { NodeSqlite } from './node-sqlite.ts'
import { singleWriter } from './transactions.ts'
import { acquireWriterLock } from './writer-lock.ts'

export interface SqliteStoreOptions {
  /** Database file; `-wal`, `-shm` and `.lock` are beside it. */
  readonly path: string
  readonly clock: Clock
}

/**
 * Opens or creates the database, file mode 0600, and holds it alone until `close()`.
 * @throws FairwayError CONFLICT where another server has it open, a newer Fairway wrote it, or it is damaged or gone
 */
export async function openSqliteStore({ path, clock }: SqliteStoreOptions): Promise<AuditedStore> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const lock = await acquireWriterLock(`${path}.lock`)
  try {
    await refuseLostDatabase(path)
    await ensurePrivateFile(path)
    const leftOpen = await wasLeftOpen(path)
    const sqlite = openDatabase(path)
    const database = new Kysely<DatabaseSchema>({
      dialect: new SqliteDialect({ database: new NodeSqlite(sqlite) }),
    })
    try {
      if (leftOpen) checkPages(sqlite, path)
      await migrate(database, { types: SQLITE_TYPES, clock })
    } catch (error) {
      await database.destroy()
      throw error
    }
    await expectDatabase(path)
    return new KyselyStore(singleWriter(database, () => lock.release()))
  } catch (error) {
    await lock.release()
    throw asDamage(path, error)
  }
}

function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true })
  // FULL: a commit is on the disk before it is reported (WAL with NORMAL may lose the last ones on power loss).
  for (const pragma of ['journal_mode = wal', 'synchronous = full', 'busy_timeout = 5000'])
    database.exec(`pragma ${pragma}`)
  return database
}

/** SQLite gives `-wal` and `-shm` the mode of the database file, so it must be right before the first write. */
async function ensurePrivateFile(path: string): Promise<void> {
  const file = await open(path, 'a', 0o600)
  await file.close()
  await chmod(path, 0o600)
}
