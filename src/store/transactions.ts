import type { Kysely } from 'kysely'
import type { DatabaseSchema } from './database-schema.ts'

export type Isolation = 'serializable' | 'read committed'
export type Database = Kysely<DatabaseSchema>
/** Statements of one transaction. It may be run again from its start, so it must change nothing but the database. */
export type Work<T> = (database: Database) => Promise<T>

/** How statements reach a database: one implementation for each kind. */
export interface Transactions {
  /** For a single statement that only reads. */
  read<T>(work: Work<T>): Promise<T>
  /**
   * As one transaction, as if no other ran meanwhile; durable when it resolves, undone when `work` throws. `read committed` is for what
   * locks by itself before it looks.
   */
  change<T>(work: Work<T>, isolation?: Isolation): Promise<T>
  close(): Promise<void>
}

/** One connection, one writer: SQLite. */
export function singleWriter(database: Database, onClose: () => Promise<void>): Transactions {
  return {
    read: (work) => work(database),
    change: (work) => database.transaction().execute(work),
    close: async () => {
      await database.destroy()
      await onClose()
    },
  }
}
