import type { PostgresPool, PostgresPoolClient } from 'kysely'
import pg from 'pg'
import type { Log } from '../lib/log.ts'
import type { PostgresAddress } from './postgres-address.ts'
import { PostgresFailure } from './postgres-failure.ts'

export interface PostgresPoolOptions {
  readonly address: PostgresAddress
  readonly maxConnections: number
  /** The database ends a statement that takes longer; the URL's `statement_timeout` wins. */
  readonly statementMs: number
  readonly log: Log
}

const CONNECT_MS = 5000
/** Most that we wait beyond the database's own limit, for one whose network swallows everything. */
const SILENCE_MS = 5000
const KEEP_COMMITS = `select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'`

/**
 * Connections as Kysely takes them. Whatever the driver throws comes as PostgresFailure, and a connection that broke or did not answer in time
 * is closed instead of being given out again.
 */
export function openPostgresPool(options: PostgresPoolOptions): PostgresPool {
  const { address, maxConnections, statementMs, log } = options
  const silenceMs = statementMs + Math.min(statementMs, SILENCE_MS)
  const pool = new pg.Pool({
    connectionString: address.url,
    max: maxConnections,
    connectionTimeoutMillis: CONNECT_MS,
    idleTimeoutMillis: 60_000,
    statement_timeout: statementMs,
    query_timeout: silenceMs,
    idle_in_transaction_session_timeout: silenceMs,
    keepAlive: true,
    fallback_application_name: 'fairway',
    types: { getTypeParser },
  })
  // The first statement on every connection. A database or role may be set to report commits before they are on the disk; stronger settings stay.
  pool.on('connect', (client) => {
    client.query(KEEP_COMMITS).catch((error: unknown) => {
      log.warn({ reason: new PostgresFailure(error).message }, 'a new connection broke')
    })
  })
  pool.on('error', (error) => {
    const { code, message } = new PostgresFailure(error)
    log.warn({ code, reason: message }, 'an idle connection to the database broke')
  })
  return {
    connect: async () => {
      try {
        return checkedOut(await pool.connect())
      } catch (error) {
        throw new PostgresFailure(error)
      }
    },
    end: () => pool.end(),
  }
}

/** 64-bit integers as numbers: times and counters are far below 2^53. */
function getTypeParser(
  type: Parameters<typeof pg.types.getTypeParser>[0],
  format?: 'text' | 'binary',
): (text: string) => unknown {
  if (type === pg.types.builtins.INT8) return Number
  const parser: unknown = pg.types.getTypeParser(type, format ?? 'text')
  return parser as (text: string) => unknown
}

const ignored = (): void => undefined

function checkedOut(client: pg.PoolClient): PostgresPoolClient {
  let usable = true
  // A connection that breaks tells it twice: to the query and here.
  client.on('error', ignored)
  const query = async (text: string, parameters: readonly unknown[]): Promise<unknown> => {
    try {
      return await client.query(text, [...parameters])
    } catch (error) {
      const failure = new PostgresFailure(error)
      if (!failure.connectionLives) usable = false
      throw failure
    }
  }
  const release = (): void => {
    client.off('error', ignored)
    client.release(!usable)
  }
  return { query, release } as PostgresPoolClient
}
