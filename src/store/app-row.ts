import { sql, type SqlBool } from 'kysely'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { AppRecord } from '../model/store.ts'
import type { DatabaseSchema } from './database-schema.ts'
import { toApp } from './records.ts'
import type { Database } from './transactions.ts'

type AppColumns = Partial<
  Pick<
    DatabaseSchema['apps'],
    'active' | 'config' | 'config_version' | 'scale' | 'deleting' | 'last_release'
  >
>

export function keyOf(ref: AppRef): { readonly app: string; readonly environment: string } {
  return { app: ref.app, environment: ref.environment }
}

export function isApp(ref: AppRef) {
  return sql<SqlBool>`app = ${ref.app} and environment = ${ref.environment}`
}

export function selectApp(database: Database, ref: AppRef) {
  return database.selectFrom('apps').selectAll().where(isApp(ref))
}

export async function requireApp(database: Database, ref: AppRef): Promise<AppRecord> {
  const row = await selectApp(database, ref).executeTakeFirst()
  if (row === undefined) throw noApp(ref)
  return toApp(row)
}

export async function updateApp(
  database: Database,
  ref: AppRef,
  columns: AppColumns,
): Promise<void> {
  const { numUpdatedRows } = await database
    .updateTable('apps')
    .set(columns)
    .where(isApp(ref))
    .executeTakeFirst()
  if (numUpdatedRows === 0n) throw noApp(ref)
}

export function noApp(ref: AppRef): FairwayError {
  return new FairwayError('NOT_FOUND', `there is no app ${refKey(ref)}`)
}
