import type { Selectable } from 'kysely'
import { z } from 'zod'
import { FairwayError } from '../model/errors.ts'
import type { SessionChanges, SessionRecord, UserRecord, UserStore } from '../model/users.ts'
import type { DatabaseSchema } from './database-schema.ts'
import type { Transactions } from './transactions.ts'

/** The `UserStore` port in SQL that every dialect of Kysely takes. */
export class KyselyUsers implements UserStore {
  readonly #transactions: Transactions

  constructor(transactions: Transactions) {
    this.#transactions = transactions
  }

  putUser(user: UserRecord): Promise<void> {
    return this.#transactions.change(async (transaction) => {
      const other = await transaction
        .selectFrom('users')
        .select('id')
        .where('name', '=', user.name)
        .where('id', '!=', user.id)
        .executeTakeFirst()
      if (other !== undefined) {
        throw new FairwayError('CONFLICT', `another person is known as ${user.name}`)
      }
      const { id, ...columns } = fromUser(user)
      await transaction
        .insertInto('users')
        .values({ id, ...columns })
        .onConflict((conflict) => conflict.column('id').doUpdateSet(columns))
        .execute()
    })
  }

  async getUser(id: string): Promise<UserRecord | null> {
    const row = await this.#transactions.read((database) =>
      database.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst(),
    )
    return row === undefined ? null : toUser(row)
  }

  async listUsers(): Promise<readonly UserRecord[]> {
    const rows = await this.#transactions.read((database) =>
      database.selectFrom('users').selectAll().orderBy('name').execute(),
    )
    return rows.map(toUser)
  }

  deleteUser(id: string): Promise<boolean> {
    return this.#transactions.change(async (transaction) => {
      // Sessions go with it: the foreign key cascades.
      const { numDeletedRows } = await transaction
        .deleteFrom('users')
        .where('id', '=', id)
        .executeTakeFirst()
      return numDeletedRows > 0n
    })
  }

  addSession(session: SessionRecord): Promise<void> {
    return this.#transactions.change(async (transaction) => {
      await transaction.insertInto('sessions').values(fromSession(session)).execute()
    })
  }

  async findSessionByHash(hash: string): Promise<SessionRecord | null> {
    const row = await this.#transactions.read((database) =>
      database.selectFrom('sessions').selectAll().where('hash', '=', hash).executeTakeFirst(),
    )
    return row === undefined ? null : toSession(row)
  }

  async listSessions(): Promise<readonly SessionRecord[]> {
    const rows = await this.#transactions.read((database) =>
      database
        .selectFrom('sessions')
        .selectAll()
        .orderBy('created_at', 'desc')
        .orderBy('id')
        .execute(),
    )
    return rows.map(toSession)
  }

  updateSession(id: string, changes: SessionChanges): Promise<boolean> {
    const { lastUsedAt, confirmedAt, credentials } = changes
    return this.#transactions.change(async (transaction) => {
      const { numUpdatedRows } = await transaction
        .updateTable('sessions')
        .set({
          ...(lastUsedAt === undefined ? {} : { last_used_at: lastUsedAt }),
          ...(confirmedAt === undefined ? {} : { confirmed_at: confirmedAt }),
          ...(credentials === undefined ? {} : { credentials }),
        })
        .where('id', '=', id)
        .executeTakeFirst()
      return numUpdatedRows > 0n
    })
  }

  deleteSession(id: string): Promise<boolean> {
    return this.#transactions.change(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('sessions')
        .where('id', '=', id)
        .executeTakeFirst()
      return numDeletedRows > 0n
    })
  }

  deleteOldSessions(now: number, unusedSince: number): Promise<void> {
    return this.#transactions.change(async (transaction) => {
      await transaction
        .deleteFrom('sessions')
        .where((where) =>
          where.or([where('expires_at', '<=', now), where('last_used_at', '<=', unusedSince)]),
        )
        .execute()
    })
  }
}

const groupsSchema = z.array(z.string())

function toUser(row: Selectable<DatabaseSchema['users']>): UserRecord {
  const { id, issuer, subject, name, email } = row
  return {
    id,
    issuer,
    subject,
    name,
    email,
    groups: groupsSchema.parse(JSON.parse(row.member_of)),
    createdAt: row.created_at,
    lastLoginAt: row.last_login_at,
  }
}

function fromUser(user: UserRecord): Selectable<DatabaseSchema['users']> {
  const { id, issuer, subject, name, email } = user
  return {
    id,
    issuer,
    subject,
    name,
    email,
    member_of: JSON.stringify(user.groups),
    created_at: user.createdAt,
    last_login_at: user.lastLoginAt,
  }
}

function toSession(row: Selectable<DatabaseSchema['sessions']>): SessionRecord {
  const { id, hash, client, credentials } = row
  return {
    id,
    user: row.user_id,
    hash,
    client,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    confirmedAt: row.confirmed_at,
    expiresAt: row.expires_at,
    credentials,
  }
}

function fromSession(session: SessionRecord): Selectable<DatabaseSchema['sessions']> {
  const { id, hash, client, credentials } = session
  return {
    id,
    user_id: session.user,
    hash,
    client,
    created_at: session.createdAt,
    last_used_at: session.lastUsedAt,
    confirmed_at: session.confirmedAt,
    expires_at: session.expiresAt,
    credentials,
  }
}
