import { Kysely, PostgresDialect, sql } from 'kysely'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { DatabaseSchema } from './database-schema.ts'
import { migrate, POSTGRES_TYPES } from './migrations.ts'
import { parsePostgresUrl } from './postgres-address.ts'
import { openPostgresPool } from './postgres-pool.ts'
import { PostgresTransactions } from './postgres-transactions.ts'
import type { Database } from './transactions.ts'

export interface PostgresOptions {
  /** Connection URL, see `parsePostgresUrl`. A secret. */
  readonly url: string
  readonly clock: Clock
  readonly log: Log
  /** From 0 to 1, 1 excluded. */
  readonly random: () => number
  /** Most connections; default: the URL's `max`, or 10. */
  readonly maxConnections?: number
  /** How long a call waits for a database that is away, or in the way, before it fails. Default 10 s. */
  readonly patienceMs?: number
  /** How long the start waits for a database that is away. Default 60 s. */
  readonly startPatienceMs?: number
  /** Longest time of one statement. Default 10 s. */
  readonly statementMs?: number
}

const PATIENCE_MS = 10_000
const START_PATIENCE_MS = 60_000
const STATEMENT_MS = 10_000
/** Waiting for another server's migration, too. */
const MIGRATION_MS = 600_000
/** Any number that nothing else in the database uses: "fairway" on a telephone's keys. */
const MIGRATION_LOCK = 3_247_929

/**
 * Connects and brings the schema up to date, also where several servers start at once.
 * @throws FairwayError INVALID_REQUEST for the URL or the encoding of the database, STORE_UNAVAILABLE, CONFLICT for a newer schema
 */
export async function openPostgresDatabase(
  options: PostgresOptions,
): Promise<PostgresTransactions> {
  const preparing = connect(
    { ...options, maxConnections: 1, patienceMs: options.startPatienceMs ?? START_PATIENCE_MS },
    MIGRATION_MS,
  )
  try {
    await preparing.change((database) => prepare(database, options.clock), 'read committed')
  } finally {
    await preparing.close()
  }
  return connect(options, options.statementMs ?? STATEMENT_MS)
}

/** In one transaction, so that the lock ends with it, however that is. */
async function prepare(database: Database, clock: Clock): Promise<void> {
  const { rows } = await sql<{ readonly server_encoding: string }>`show server_encoding`.execute(
    database,
  )
  const encoding = rows[0]?.server_encoding ?? 'unknown'
  if (encoding !== 'UTF8') {
    throw new FairwayError('INVALID_REQUEST', `the database has the encoding ${encoding}`, {
      hint: "Create it with: create database NAME encoding 'UTF8' template template0",
    })
  }
  await sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`.execute(database)
  await migrate(database, { types: POSTGRES_TYPES, clock, within: 'one transaction' })
}

function connect(options: PostgresOptions, statementMs: number): PostgresTransactions {
  const { clock, log, random } = options
  const address = parsePostgresUrl(options.url)
  const maxConnections = options.maxConnections ?? address.maxConnections
  const pool = openPostgresPool({ address, maxConnections, statementMs, log })
  return new PostgresTransactions({
    database: new Kysely<DatabaseSchema>({ dialect: new PostgresDialect({ pool }) }),
    label: address.label,
    clock,
    log,
    random,
    patienceMs: options.patienceMs ?? PATIENCE_MS,
  })
}
