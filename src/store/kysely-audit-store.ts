import { sql, type Selectable } from 'kysely'
import { readLink } from '../lib/hash-chain.ts'
import type { AuditFilter, AuditHead, AuditRow, AuditStore } from '../model/audit.ts'
import { FairwayError } from '../model/errors.ts'
import type { DatabaseSchema } from './database-schema.ts'
import type { Database, Transactions } from './transactions.ts'

/** Rows of one statement: PostgreSQL takes 65,535 values, a row has nine. */
const ROWS_AT_ONCE = 500

/** The chain in SQL. Whoever appends locks the one row of `audit_head` first, so servers on one database follow each other and never fork it. */
export class KyselyAuditStore implements AuditStore {
  readonly #transactions: Transactions

  constructor(transactions: Transactions) {
    this.#transactions = transactions
  }

  async head(): Promise<AuditHead> {
    return await this.#transactions.read(async (database) =>
      toHead(await database.selectFrom('audit_head').selectAll().executeTakeFirstOrThrow()),
    )
  }

  append(chain: (head: AuditHead) => readonly AuditRow[]): Promise<AuditHead> {
    return this.#transactions.change(
      async (database) => await extend(database, await lockHead(database), chain),
      'read committed',
    )
  }

  async after(after: number, limit: number, filter = {}): Promise<readonly AuditRow[]> {
    return await this.#select(filter, (rows) =>
      rows.where('seq', '>', after).orderBy('seq').limit(limit),
    )
  }

  async newest(limit: number, filter = {}): Promise<readonly AuditRow[]> {
    return await this.#select(filter, (rows) => rows.orderBy('seq', 'desc').limit(limit))
  }

  forget(
    time: number,
    most: number,
    chain: (head: AuditHead) => readonly AuditRow[],
  ): Promise<number> {
    return this.#transactions.change(async (database) => {
      const head = await lockHead(database)
      const last = await database
        .selectFrom('audit')
        .select(['seq', 'line'])
        .where('time', '<', time)
        .where('seq', '<', head.first.seq + most)
        .orderBy('seq', 'desc')
        .limit(1)
        .executeTakeFirst()
      if (last === undefined) return 0
      const link = readLink(last.line)
      // What was changed is evidence: it stays.
      if (link === null) throw new FairwayError('AUDIT_TAMPERED', `record ${last.seq} was changed`)
      await database.deleteFrom('audit').where('seq', '<=', last.seq).execute()
      const first = { seq: last.seq + 1, prev: link.hash }
      await database
        .updateTable('audit_head')
        .set({ first_seq: first.seq, first_prev: first.prev })
        .execute()
      await extend(database, { ...head, first }, chain)
      return first.seq - head.first.seq
    }, 'read committed')
  }

  async #select(
    filter: AuditFilter,
    range: (rows: ReturnType<typeof matching>) => ReturnType<typeof matching>,
  ): Promise<readonly AuditRow[]> {
    const rows = await this.#transactions.read((database) =>
      range(matching(database, filter)).execute(),
    )
    return rows.map(toRow)
  }
}

/** The update changes nothing; it takes the row's lock in every database that there is. */
async function lockHead(database: Database): Promise<AuditHead> {
  const row = await database
    .updateTable('audit_head')
    .set({ id: 1 })
    .returningAll()
    .executeTakeFirstOrThrow()
  return toHead(row)
}

async function extend(
  database: Database,
  head: AuditHead,
  chain: (head: AuditHead) => readonly AuditRow[],
): Promise<AuditHead> {
  const rows = chain(head)
  for (let at = 0; at < rows.length; at += ROWS_AT_ONCE)
    await database
      .insertInto('audit')
      .values(rows.slice(at, at + ROWS_AT_ONCE).map(fromRow))
      .execute()
  const last = rows.at(-1)
  if (last === undefined) return head
  const hash = readLink(last.line)?.hash ?? ''
  const moved = { seq: last.seq, hash, time: last.time }
  await database.updateTable('audit_head').set(moved).execute()
  return { ...moved, first: head.first }
}

function matching(database: Database, filter: AuditFilter) {
  let rows = database.selectFrom('audit').selectAll()
  const { app, environment, actor, action, outcome, since, places } = filter
  if (app !== undefined) rows = rows.where('app', '=', app)
  if (environment !== undefined) rows = rows.where('environment', '=', environment)
  if (action !== undefined) rows = rows.where('action', '=', action)
  if (outcome !== undefined) rows = rows.where('outcome', '=', outcome)
  if (since !== undefined) rows = rows.where('time', '>=', since)
  if (places !== undefined) {
    rows = rows.where('app', 'is not', null).where((where) =>
      // Without any place `or` of nothing is false: nothing is seen.
      where.or(
        places.map(({ apps, environment: there }) =>
          where.and([
            ...(apps === null ? [] : [where('app', 'in', apps.length === 0 ? [''] : apps)]),
            ...(there === null ? [] : [where('environment', '=', there)]),
          ]),
        ),
      ),
    )
  }
  if (actor === undefined) return rows
  return rows.where(sql<boolean>`(actor = ${actor} or actor_id = ${actor})`)
}

function toHead(row: Selectable<DatabaseSchema['audit_head']>): AuditHead {
  const { seq, hash, time, first_seq: first, first_prev: prev } = row
  return { seq, hash, time, first: { seq: first, prev } }
}

function toRow({ actor_id: actorId, ...row }: Selectable<DatabaseSchema['audit']>): AuditRow {
  return { ...row, actorId }
}

function fromRow({ actorId, ...row }: AuditRow): Selectable<DatabaseSchema['audit']> {
  return { ...row, actor_id: actorId }
}
