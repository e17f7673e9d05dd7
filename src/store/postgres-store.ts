import type { AuditedStore } from '../model/store.ts'
import { KyselyStore } from './kysely-store.ts'
import { openPostgresDatabase, type PostgresOptions } from './postgres-database.ts'

/**
 * The store in a PostgreSQL database (12 or later), which several servers may share.
 * @throws FairwayError INVALID_REQUEST, STORE_UNAVAILABLE, CONFLICT where a newer Fairway wrote it
 */
export async function openPostgresStore(options: PostgresOptions): Promise<AuditedStore> {
  return new KyselyStore(await openPostgresDatabase(options))
}
