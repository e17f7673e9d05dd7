import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import type { SqliteDatabase, SqliteStatement } from 'kysely'
import { FairwayError } from '../model/errors.ts'

const CACHED_STATEMENTS = 200

/** `node:sqlite` in the shape that Kysely's SQLite dialect expects. */
export class NodeSqlite implements SqliteDatabase {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, SqliteStatement>()

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  prepare(sql: string): SqliteStatement {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const prepared = wrap(this.#database.prepare(sql))
    const statement = sql === 'rollback' ? this.#whereNeeded(prepared) : prepared
    if (this.#statements.size >= CACHED_STATEMENTS) this.#statements.clear()
    this.#statements.set(sql, statement)
    return statement
  }

  /** A full disk ends the transaction by itself; rolling back then would hide why. */
  #whereNeeded(rollback: SqliteStatement): SqliteStatement {
    return {
      ...rollback,
      run: (parameters) =>
        this.#database.isTransaction
          ? rollback.run(parameters)
          : { changes: 0, lastInsertRowid: 0 },
    }
  }

  close(): void {
    this.#statements.clear()
    this.#database.close()
  }
}

function wrap(statement: StatementSync): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => translated(() => statement.all(...parameters.map(inputValue))),
    run: (parameters) => translated(() => statement.run(...parameters.map(inputValue))),
    iterate: (parameters) => statement.iterate(...parameters.map(inputValue)),
  }
}

/** SQLITE_FULL is 13; extended codes keep it in the low byte. @throws FairwayError DISK_FULL */
function translated<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    const full =
      error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === 13
    if (!full) throw error
    throw new FairwayError('DISK_FULL', 'no space is left for the database in the data directory', {
      cause: error,
    })
  }
}

function inputValue(value: unknown): SQLInputValue {
  if (value === null || typeof value === 'string' || typeof value === 'number') return value
  if (typeof value === 'bigint' || value instanceof Uint8Array) return value
  throw new TypeError(`SQLite takes no ${typeof value}`)
}
