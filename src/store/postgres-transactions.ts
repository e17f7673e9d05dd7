import { sql } from 'kysely'
import { backoffMs } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import { KeyedMutex } from '../lib/mutex.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { PostgresFailure } from './postgres-failure.ts'
import type { Database, Isolation, Transactions, Work } from './transactions.ts'

export interface PostgresTransactionsOptions {
  readonly database: Database
  /** For people: which database. Without password. */
  readonly label: string
  readonly clock: Clock
  readonly log: Log
  /** From 0 to 1, 1 excluded: spreads tries that wait for the same thing. */
  readonly random: () => number
  /** How long a call is tried again before it fails. */
  readonly patienceMs: number
}

const BETWEEN_CONFLICTS = { firstMs: 2, maxMs: 100 }
const BETWEEN_CONNECTIONS = { firstMs: 50, maxMs: 1000 }

/**
 * Serializable transactions on several connections, with other servers on the same database. What another one's change was in the way of is
 * done again; so is what was cut off by a lost connection, unless its commit was on the way: then nobody knows, and the caller is told.
 */
export class PostgresTransactions implements Transactions {
  readonly #options: PostgresTransactionsOptions
  readonly #line = new KeyedMutex()

  constructor(options: PostgresTransactionsOptions) {
    this.#options = options
  }

  read<T>(work: Work<T>): Promise<T> {
    return this.#untilDone(() => work(this.#options.database))
  }

  change<T>(work: Work<T>, isolation: Isolation = 'serializable'): Promise<T> {
    return this.#untilDone(() =>
      this.#options.database
        .connection()
        .execute((connection) => transaction(connection, work, isolation)),
    )
  }

  close(): Promise<void> {
    return this.#options.database.destroy()
  }

  async #untilDone<T>(attempt: () => Promise<T>): Promise<T> {
    const { clock, random, patienceMs, label, log } = this.#options
    const deadline = clock.elapsed() + patienceMs
    let next = attempt
    for (let failures = 1; ; failures++) {
      try {
        return await next()
      } catch (error) {
        if (!(error instanceof PostgresFailure)) throw error
        const pauses = PAUSES[error.kind]
        const pauseMs = pauses === undefined ? 0 : backoffMs(failures, pauses) * (0.5 + random())
        if (pauses === undefined || clock.elapsed() + pauseMs > deadline)
          throw explained(error, label)
        if (error.kind === 'outage' && failures === 1)
          log.warn(
            { database: label, code: error.code, reason: error.message },
            'the database is away',
          )
        // Who was in each other's way goes one after the other, so that many at once do not stay in it.
        if (error.kind === 'conflict') next = () => this.#line.run('conflicts', attempt)
        await clock.sleep(pauseMs)
      }
    }
  }
}

const PAUSES: Partial<
  Record<PostgresFailure['kind'], { readonly firstMs: number; readonly maxMs: number }>
> = { conflict: BETWEEN_CONFLICTS, outage: BETWEEN_CONNECTIONS }

async function transaction<T>(
  connection: Database,
  work: Work<T>,
  isolation: Isolation,
): Promise<T> {
  await sql`start transaction isolation level ${sql.raw(isolation)}`.execute(connection)
  let result: T
  try {
    result = await work(connection)
  } catch (error) {
    await rollBack(connection)
    throw error
  }
  try {
    await sql`commit`.execute(connection)
  } catch (error) {
    if (error instanceof PostgresFailure && error.kind === 'outage') throw uncertain(error)
    throw error
  }
  return result
}

/** Where the connection broke there is nothing left to undo, and why it broke matters more. */
async function rollBack(connection: Database): Promise<void> {
  try {
    await sql`rollback`.execute(connection)
  } catch (error) {
    if (!(error instanceof PostgresFailure) || error.kind !== 'outage') throw error
  }
}

function uncertain(cause: PostgresFailure): FairwayError {
  return new FairwayError(
    'STORE_UNAVAILABLE',
    'the connection to the database was lost while a change was being committed: it was kept as a whole or not at all',
    { cause, hint: 'Look at the current state, then try again.' },
  )
}

/** A failure that trying again did not mend, in the user's words. @returns what to throw */
export function explained(failure: PostgresFailure, label: string): Error {
  const where = `the database ${label}`
  const options = { cause: failure }
  switch (failure.kind) {
    case 'outage':
      return new FairwayError(
        'STORE_UNAVAILABLE',
        `${where} cannot be reached: ${failure.message}`,
        options,
      )
    case 'slow':
      return new FairwayError(
        'STORE_UNAVAILABLE',
        `${where} took too long: ${failure.message}`,
        options,
      )
    case 'refused':
      return new FairwayError('STORE_UNAVAILABLE', `${where} refuses: ${failure.message}`, {
        ...options,
        hint: 'Check FAIRWAY_DATABASE and what its user may do there.',
      })
    case 'conflict':
      return new FairwayError('CONFLICT', `too many others change the same in ${where}`, options)
    case 'full':
      return new FairwayError('DISK_FULL', `${where} has no space left`, {
        ...options,
        hint: 'Free space on the disk of PostgreSQL.',
      })
    case 'text':
      return new FairwayError('INVALID_REQUEST', 'a text has a NUL character', options)
    case 'other':
      return failure
  }
}
