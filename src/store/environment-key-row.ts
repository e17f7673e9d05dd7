import type { Kysely } from 'kysely'
import type { EnvironmentKeyRecord } from '../model/store.ts'
import { isApp, keyOf } from './app-row.ts'
import type { DatabaseSchema } from './database-schema.ts'
import { toEnvironmentKey } from './records.ts'

/** The first one stays: two servers that make one at once get the same. */
export async function keepEnvironmentKey(
  database: Kysely<DatabaseSchema>,
  { ref, recipient, wrapped, createdAt }: EnvironmentKeyRecord,
): Promise<EnvironmentKeyRecord> {
  await database
    .insertInto('environment_keys')
    .values({ ...keyOf(ref), recipient, wrapped, created_at: createdAt })
    .onConflict((conflict) => conflict.columns(['app', 'environment']).doNothing())
    .execute()
  const kept = await database
    .selectFrom('environment_keys')
    .selectAll()
    .where(isApp(ref))
    .executeTakeFirstOrThrow()
  return toEnvironmentKey(kept)
}
