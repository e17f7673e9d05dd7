import type { AccessStore, Binding, Protection, Team } from '../model/access.ts'
import { toBinding, toProtection, toTeam } from './records.ts'
import type { Transactions } from './transactions.ts'

/** Teams, bindings and protected environments in SQL. */
export class AccessRecords implements AccessStore {
  readonly #transactions: Transactions

  constructor(transactions: Transactions) {
    this.#transactions = transactions
  }

  async listTeams(): Promise<readonly Team[]> {
    const rows = await this.#transactions.read((database) =>
      database.selectFrom('teams').selectAll().orderBy('name').execute(),
    )
    return rows.map(toTeam)
  }

  putTeam({ name, apps, createdAt }: Team): Promise<void> {
    return this.#transactions.change(async (transaction) => {
      const columns = { apps: JSON.stringify(apps) }
      await transaction
        .insertInto('teams')
        .values({ name, ...columns, created_at: createdAt })
        .onConflict((conflict) => conflict.column('name').doUpdateSet(columns))
        .execute()
    })
  }

  deleteTeam(name: string): Promise<boolean> {
    return this.#transactions.change(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('teams')
        .where('name', '=', name)
        .executeTakeFirst()
      return numDeletedRows > 0n
    })
  }

  async listBindings(): Promise<readonly Binding[]> {
    const rows = await this.#transactions.read((database) =>
      database
        .selectFrom('bindings')
        .selectAll()
        .orderBy('created_at', 'desc')
        .orderBy('id')
        .execute(),
    )
    return rows.map(toBinding)
  }

  addBinding({ id, kind, name, grant, createdAt, createdBy }: Binding): Promise<void> {
    return this.#transactions.change(async (transaction) => {
      const row = { id, kind, name, body: JSON.stringify(grant) }
      await transaction
        .insertInto('bindings')
        .values({ ...row, created_at: createdAt, created_by: createdBy })
        .execute()
    })
  }

  deleteBinding(id: string): Promise<boolean> {
    return this.#transactions.change(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('bindings')
        .where('id', '=', id)
        .executeTakeFirst()
      return numDeletedRows > 0n
    })
  }

  async listProtections(): Promise<readonly Protection[]> {
    const rows = await this.#transactions.read((database) =>
      database.selectFrom('protections').selectAll().orderBy('environment').execute(),
    )
    return rows.map(toProtection)
  }

  putProtection({ environment, waitMs, createdAt, createdBy }: Protection): Promise<void> {
    return this.#transactions.change(async (transaction) => {
      const columns = { wait_ms: waitMs, created_at: createdAt, created_by: createdBy }
      await transaction
        .insertInto('protections')
        .values({ environment, ...columns })
        .onConflict((conflict) => conflict.column('environment').doUpdateSet(columns))
        .execute()
    })
  }

  deleteProtection(environment: string): Promise<boolean> {
    return this.#transactions.change(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('protections')
        .where('environment', '=', environment)
        .executeTakeFirst()
      return numDeletedRows > 0n
    })
  }
}
