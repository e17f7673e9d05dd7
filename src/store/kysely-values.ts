import type { AppRef } from '../model/names.ts'
import type { EnvironmentValueRecord, EnvironmentValueStore } from '../model/store.ts'
import { isApp, keyOf } from './app-row.ts'
import type { DatabaseSchema } from './database-schema.ts'
import { toRef } from './records.ts'
import type { Transactions } from './transactions.ts'

type Row = DatabaseSchema['environment_values']

/** The `EnvironmentValueStore` port in SQL that every dialect of Kysely takes. */
export class KyselyValues implements EnvironmentValueStore {
  readonly #transactions: Transactions

  constructor(transactions: Transactions) {
    this.#transactions = transactions
  }

  async get(ref: AppRef, name: string): Promise<EnvironmentValueRecord | null> {
    const row = await this.#transactions.read((database) =>
      database
        .selectFrom('environment_values')
        .selectAll()
        .where(isApp(ref))
        .where('name', '=', name)
        .executeTakeFirst(),
    )
    return row === undefined ? null : toRecord(row)
  }

  /** The first one stays: two servers that make one at once get the same. */
  add(record: EnvironmentValueRecord): Promise<EnvironmentValueRecord> {
    return this.#transactions.change(async (transaction) => {
      await transaction
        .insertInto('environment_values')
        .values(fromRecord(record))
        .onConflict((conflict) => conflict.columns(['app', 'environment', 'name']).doNothing())
        .execute()
      const kept = await transaction
        .selectFrom('environment_values')
        .selectAll()
        .where(isApp(record.ref))
        .where('name', '=', record.name)
        .executeTakeFirstOrThrow()
      return toRecord(kept)
    })
  }

  put(record: EnvironmentValueRecord): Promise<void> {
    return this.#transactions.change(async (transaction) => {
      const { sealed, changed_at } = fromRecord(record)
      await transaction
        .insertInto('environment_values')
        .values(fromRecord(record))
        .onConflict((conflict) =>
          conflict.columns(['app', 'environment', 'name']).doUpdateSet({ sealed, changed_at }),
        )
        .execute()
    })
  }

  delete(ref: AppRef, name: string): Promise<void> {
    return this.#transactions.change(async (transaction) => {
      await transaction
        .deleteFrom('environment_values')
        .where(isApp(ref))
        .where('name', '=', name)
        .execute()
    })
  }

  async list(): Promise<readonly Omit<EnvironmentValueRecord, 'sealed'>[]> {
    const rows = await this.#transactions.read((database) =>
      database
        .selectFrom('environment_values')
        .select(['app', 'environment', 'name', 'changed_at'])
        .orderBy('app')
        .orderBy('environment')
        .orderBy('name')
        .execute(),
    )
    return rows.map((row) => ({ ref: toRef(row), name: row.name, changedAt: row.changed_at }))
  }
}

function fromRecord({ ref, name, sealed, changedAt }: EnvironmentValueRecord): Row {
  return { ...keyOf(ref), name, sealed, changed_at: changedAt }
}

function toRecord(row: Row): EnvironmentValueRecord {
  return { ref: toRef(row), name: row.name, sealed: row.sealed, changedAt: row.changed_at }
}
