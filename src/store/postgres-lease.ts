import { sql } from 'kysely'
import type { Lease, LeaseHold } from '../model/lease.ts'
import { openPostgresDatabase, type PostgresOptions } from './postgres-database.ts'
import type { PostgresTransactions } from './postgres-transactions.ts'

export interface PostgresLeaseOptions extends PostgresOptions {
  /** Names the thing; leases of different names have nothing to do with each other. */
  readonly name: string
}

/** Two: a renewal need not wait for another call, and never for the store's work. */
const CONNECTIONS = 2
/** A lease that does not answer soon is as good as lost: better told than waited for. */
const PATIENCE_MS = 3000

/** A lease kept in the database that the servers share, on connections of its own. @throws as `openPostgresStore` */
export async function openPostgresLease(options: PostgresLeaseOptions): Promise<Lease> {
  const database = await openPostgresDatabase({
    patienceMs: PATIENCE_MS,
    statementMs: PATIENCE_MS,
    ...options,
    maxConnections: CONNECTIONS,
  })
  return new PostgresLease(database, options.name)
}

/** Now by the database's clock: unlike `now()` it goes on while a statement waits for a row. */
const NOW = sql<number>`floor(extract(epoch from clock_timestamp()) * 1000)::bigint`

/** One row per lease. Each change is one statement, for which PostgreSQL locks the row and looks again when it got it. */
class PostgresLease implements Lease {
  readonly #transactions: PostgresTransactions
  readonly #name: string

  constructor(transactions: PostgresTransactions, name: string) {
    this.#transactions = transactions
    this.#name = name
  }

  async acquire(holder: string, ttlMs: number): Promise<LeaseHold | null> {
    const row = await this.#transactions.change(async (database) => {
      const expires_at = sql<number>`${NOW} + ${checkedTtl(ttlMs)}::bigint`
      const { rows } = await sql<{ readonly token: number }>`
        insert into leases (name, holder, token, expires_at) values (${this.#name}, ${holder}, 1, ${expires_at})
        on conflict (name) do update set holder = excluded.holder, token = leases.token + 1, expires_at = ${expires_at}
        where leases.holder is null or leases.holder = excluded.holder or leases.expires_at <= ${NOW}
        returning token`.execute(database)
      return rows[0]
    }, 'read committed')
    return row === undefined ? null : { holder, token: row.token }
  }

  renew({ holder, token }: LeaseHold, ttlMs: number): Promise<boolean> {
    return this.#transactions.change(async (database) => {
      const { numUpdatedRows } = await database
        .updateTable('leases')
        .set({ expires_at: sql<number>`${NOW} + ${checkedTtl(ttlMs)}::bigint` })
        .where('name', '=', this.#name)
        .where('holder', '=', holder)
        .where('token', '=', token)
        .executeTakeFirst()
      return numUpdatedRows > 0n
    }, 'read committed')
  }

  release({ holder, token }: LeaseHold): Promise<void> {
    return this.#transactions.change(async (database) => {
      // The row stays: its token must go on growing.
      await database
        .updateTable('leases')
        .set({ holder: null })
        .where('name', '=', this.#name)
        .where('holder', '=', holder)
        .where('token', '=', token)
        .execute()
    }, 'read committed')
  }

  async current(): Promise<LeaseHold | null> {
    const row = await this.#transactions.read((database) =>
      database
        .selectFrom('leases')
        .select(['holder', 'token'])
        .where('name', '=', this.#name)
        .where('expires_at', '>', NOW)
        .executeTakeFirst(),
    )
    if (row === undefined || row.holder === null) return null
    return { holder: row.holder, token: row.token }
  }

  close(): Promise<void> {
    return this.#transactions.close()
  }
}

/** @throws RangeError for what is no length of time */
function checkedTtl(ttlMs: number): number {
  if (Number.isSafeInteger(ttlMs) && ttlMs > 0) return ttlMs
  throw new RangeError(`a lease of ${String(ttlMs)} ms`)
}
