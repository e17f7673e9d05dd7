import { open, stat } from 'node:fs/promises'
import type { DatabaseSync } from 'node:sqlite'
import { isMissing } from '../lib/missing-file.ts'
import { FairwayError } from '../model/errors.ts'

const HINT =
  'Restore the data directory from a backup (docs/operating.md); `sqlite3 FILE .recover` may save what can still be read. Nothing was changed.'

/**
 * A database that is gone where there was one: SQLite would make an empty one, and every running instance would be taken for an orphan.
 * @throws FairwayError CONFLICT
 */
export async function refuseLostDatabase(path: string): Promise<void> {
  if ((await sizeOf(marker(path))) === null || ((await sizeOf(path)) ?? 0) > 0) return
  throw new FairwayError('CONFLICT', `the database ${path} is missing or empty`, {
    hint: `Restore it from a backup (docs/operating.md). To begin anew without the apps that it knew, remove ${marker(path)}.`,
  })
}

/** From now on a database is expected here. */
export async function expectDatabase(path: string): Promise<void> {
  const file = await open(marker(path), 'a', 0o600)
  await file.close()
}

/** True where its last user did not close it, so that a look at all of it is worth the time. */
export async function wasLeftOpen(path: string): Promise<boolean> {
  return ((await sizeOf(`${path}-wal`)) ?? 0) > 0
}

/** @throws FairwayError CONFLICT where its pages do not fit together */
export function checkPages(database: DatabaseSync, path: string): void {
  const row: unknown = database.prepare('pragma quick_check(1)').get()
  const said = typeof row === 'object' && row !== null ? String(Object.values(row)[0]) : 'nothing'
  if (said !== 'ok') throw damaged(path, new Error(said))
}

/** SQLITE_CORRUPT is 11, SQLITE_NOTADB 26; extended codes keep them in the low byte. Any other error is given back as it is. */
export function asDamage(path: string, error: unknown): unknown {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
  return code === 11 || code === 26 ? damaged(path, error) : error
}

function damaged(path: string, cause: unknown): FairwayError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new FairwayError('CONFLICT', `the database ${path} is damaged: ${why}`, {
    cause,
    hint: HINT,
  })
}

function marker(path: string): string {
  return `${path}.made`
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
