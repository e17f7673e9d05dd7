import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef, type TargetName } from '../model/names.ts'
import type { Release, ReleaseStatus, Rollout } from '../model/release.ts'
import type { AuditStore } from '../model/audit.ts'
import type {
  AppRecord,
  AuditedStore,
  EnvironmentKeyRecord,
  TargetRecord,
  TokenRecord,
} from '../model/store.ts'
import { AccessRecords } from './access-records.ts'
import { keepEnvironmentKey } from './environment-key-row.ts'
import { isApp, keyOf, noApp, requireApp, selectApp, updateApp } from './app-row.ts'
import { KyselyAuditStore } from './kysely-audit-store.ts'
import {
  fromRelease,
  fromTarget,
  fromToken,
  toApp,
  toEnvironmentKey,
  toRelease,
  toRollout,
  toTarget,
  toToken,
} from './records.ts'
import { KyselyUsers } from './kysely-users.ts'
import { KyselyValues } from './kysely-values.ts'
import type { Transactions, Work } from './transactions.ts'

/** The `Store` port in SQL that every dialect of Kysely takes. Changes of rows that are not there are NOT_FOUND. */
export class KyselyStore implements AuditedStore {
  readonly access: AccessRecords
  readonly audit: AuditStore
  readonly users: KyselyUsers
  readonly values: KyselyValues
  readonly #transactions: Transactions

  constructor(transactions: Transactions) {
    this.#transactions = transactions
    this.access = new AccessRecords(transactions)
    this.audit = new KyselyAuditStore(transactions)
    this.users = new KyselyUsers(transactions)
    this.values = new KyselyValues(transactions)
  }

  async listApps(): Promise<readonly AppRecord[]> {
    const rows = await this.#read((database) =>
      database
        .selectFrom('apps')
        .selectAll()
        .orderBy('created_at', 'desc')
        .orderBy('app')
        .orderBy('environment')
        .execute(),
    )
    return rows.map(toApp)
  }

  async getApp(ref: AppRef): Promise<AppRecord | null> {
    const row = await this.#read((database) => selectApp(database, ref).executeTakeFirst())
    return row === undefined ? null : toApp(row)
  }

  ensureApp(ref: AppRef, now: number): Promise<AppRecord> {
    return this.#change(async (transaction) => {
      const row = {
        ...keyOf(ref),
        created_at: now,
        active: null,
        config: '{}',
        config_version: 0,
        scale: '{}',
        deleting: 0,
        last_release: 0,
      }
      await transaction
        .insertInto('apps')
        .values(row)
        .onConflict((conflict) => conflict.columns(['app', 'environment']).doNothing())
        .execute()
      return requireApp(transaction, ref)
    })
  }

  setActive(ref: AppRef, release: number): Promise<void> {
    return this.#change((transaction) => updateApp(transaction, ref, { active: release }))
  }

  setConfig(ref: AppRef, changes: Readonly<Record<string, string | null>>): Promise<AppRecord> {
    return this.#change(async (transaction) => {
      const { config, configVersion } = await requireApp(transaction, ref)
      await updateApp(transaction, ref, {
        config: JSON.stringify(merged(config, changes)),
        config_version: configVersion + 1,
      })
      return requireApp(transaction, ref)
    })
  }

  setScale(ref: AppRef, changes: Readonly<Record<string, number | null>>): Promise<AppRecord> {
    return this.#change(async (transaction) => {
      const { scale } = await requireApp(transaction, ref)
      await updateApp(transaction, ref, { scale: JSON.stringify(merged(scale, changes)) })
      return requireApp(transaction, ref)
    })
  }

  setDeleting(ref: AppRef): Promise<void> {
    return this.#change((transaction) => updateApp(transaction, ref, { deleting: 1 }))
  }

  deleteApp(ref: AppRef): Promise<void> {
    return this.#change(async (transaction) => {
      // Releases and rollouts go with it: foreign keys cascade.
      await transaction.deleteFrom('apps').where(isApp(ref)).execute()
      await transaction.deleteFrom('environment_keys').where(isApp(ref)).execute()
      await transaction.deleteFrom('environment_values').where(isApp(ref)).execute()
    })
  }

  addRelease(release: Omit<Release, 'number'>): Promise<Release> {
    return this.#change(async (transaction) => {
      const { ref } = release
      const app = await selectApp(transaction, ref).executeTakeFirst()
      if (app === undefined) throw noApp(ref)
      const number = app.last_release + 1
      await updateApp(transaction, ref, { last_release: number })
      const row = fromRelease({ ...release, number })
      await transaction.insertInto('releases').values(row).execute()
      return toRelease(row)
    })
  }

  async getRelease(ref: AppRef, number: number): Promise<Release | null> {
    const row = await this.#read((database) =>
      database
        .selectFrom('releases')
        .selectAll()
        .where(isApp(ref))
        .where('number', '=', number)
        .executeTakeFirst(),
    )
    return row === undefined ? null : toRelease(row)
  }

  async listReleases(ref: AppRef, limit: number): Promise<readonly Release[]> {
    const rows = await this.#read((database) =>
      database
        .selectFrom('releases')
        .selectAll()
        .where(isApp(ref))
        .orderBy('number', 'desc')
        .limit(limit)
        .execute(),
    )
    return rows.map(toRelease)
  }

  async listAllReleases(): Promise<readonly Release[]> {
    const rows = await this.#read((database) =>
      database
        .selectFrom('releases')
        .selectAll()
        .orderBy('created_at', 'desc')
        .orderBy('app')
        .orderBy('environment')
        .orderBy('number', 'desc')
        .execute(),
    )
    return rows.map(toRelease)
  }

  setReleaseStatus(ref: AppRef, number: number, status: ReleaseStatus): Promise<void> {
    return this.#change(async (transaction) => {
      const { numUpdatedRows } = await transaction
        .updateTable('releases')
        .set({ status })
        .where(isApp(ref))
        .where('number', '=', number)
        .executeTakeFirst()
      if (numUpdatedRows === 0n)
        throw new FairwayError('NOT_FOUND', `${refKey(ref)} has no release ${number}`)
    })
  }

  deleteRelease(ref: AppRef, number: number): Promise<void> {
    return this.#change(async (transaction) => {
      await transaction
        .deleteFrom('releases')
        .where(isApp(ref))
        .where('number', '=', number)
        .execute()
    })
  }

  addRollout(rollout: Rollout): Promise<void> {
    return this.#change(async (transaction) => {
      await requireApp(transaction, rollout.ref)
      await transaction
        .insertInto('rollouts')
        .values({ id: rollout.id, ...keyOf(rollout.ref), ...rolloutColumns(rollout) })
        .execute()
    })
  }

  saveRollout(rollout: Rollout): Promise<void> {
    return this.#change(async (transaction) => {
      const { numUpdatedRows } = await transaction
        .updateTable('rollouts')
        .set(rolloutColumns(rollout))
        .where(isApp(rollout.ref))
        .where('id', '=', rollout.id)
        .executeTakeFirst()
      if (numUpdatedRows === 0n)
        throw new FairwayError('NOT_FOUND', `${refKey(rollout.ref)} has no rollout ${rollout.id}`)
    })
  }

  async getRollout(ref: AppRef, id: string): Promise<Rollout | null> {
    const row = await this.#read((database) =>
      database
        .selectFrom('rollouts')
        .selectAll()
        .where(isApp(ref))
        .where('id', '=', id)
        .executeTakeFirst(),
    )
    return row === undefined ? null : toRollout(row)
  }

  async listRollouts(ref: AppRef, limit: number): Promise<readonly Rollout[]> {
    const rows = await this.#read((database) =>
      database
        .selectFrom('rollouts')
        .selectAll()
        .where(isApp(ref))
        .orderBy('sequence', 'desc')
        .limit(limit)
        .execute(),
    )
    return rows.map(toRollout)
  }

  async listUnfinishedRollouts(): Promise<readonly Rollout[]> {
    const rows = await this.#read((database) =>
      database
        .selectFrom('rollouts')
        .selectAll()
        .where('status', 'in', ['waiting', 'queued', 'running'])
        .orderBy('sequence')
        .execute(),
    )
    return rows.map(toRollout)
  }

  addToken(token: TokenRecord): Promise<void> {
    return this.#change(async (transaction) => {
      await transaction.insertInto('tokens').values(fromToken(token)).execute()
    })
  }

  async listTokens(): Promise<readonly TokenRecord[]> {
    const rows = await this.#read((database) =>
      database
        .selectFrom('tokens')
        .selectAll()
        .orderBy('created_at', 'desc')
        .orderBy('id')
        .execute(),
    )
    return rows.map(toToken)
  }

  async findTokenByHash(hash: string): Promise<TokenRecord | null> {
    const row = await this.#read((database) =>
      database.selectFrom('tokens').selectAll().where('hash', '=', hash).executeTakeFirst(),
    )
    return row === undefined ? null : toToken(row)
  }

  /** A token that was deleted meanwhile is no error: the request that used it has been let in already. */
  touchToken(id: string, now: number): Promise<void> {
    return this.#change(async (transaction) => {
      await transaction
        .updateTable('tokens')
        .set({ last_used_at: now })
        .where('id', '=', id)
        .execute()
    })
  }

  deleteToken(id: string): Promise<boolean> {
    return this.#change(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('tokens')
        .where('id', '=', id)
        .executeTakeFirst()
      return numDeletedRows > 0n
    })
  }

  async getEnvironmentKey(ref: AppRef): Promise<EnvironmentKeyRecord | null> {
    const row = await this.#read((database) =>
      database.selectFrom('environment_keys').selectAll().where(isApp(ref)).executeTakeFirst(),
    )
    return row === undefined ? null : toEnvironmentKey(row)
  }

  addEnvironmentKey(record: EnvironmentKeyRecord): Promise<EnvironmentKeyRecord> {
    return this.#change((transaction) => keepEnvironmentKey(transaction, record))
  }

  async listTargets(): Promise<readonly TargetRecord[]> {
    const rows = await this.#read((database) =>
      database
        .selectFrom('targets')
        .selectAll()
        .orderBy('created_at', 'desc')
        .orderBy('name')
        .execute(),
    )
    return rows.map(toTarget)
  }

  async getTarget(name: TargetName): Promise<TargetRecord | null> {
    const row = await this.#read((database) =>
      database.selectFrom('targets').selectAll().where('name', '=', name).executeTakeFirst(),
    )
    return row === undefined ? null : toTarget(row)
  }

  putTarget(target: TargetRecord): Promise<void> {
    return this.#change(async (transaction) => {
      const { name, ...columns } = fromTarget(target)
      await transaction
        .insertInto('targets')
        .values({ name, ...columns })
        .onConflict((conflict) => conflict.column('name').doUpdateSet(columns))
        .execute()
    })
  }

  deleteTarget(name: TargetName): Promise<boolean> {
    return this.#change(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('targets')
        .where('name', '=', name)
        .executeTakeFirst()
      return numDeletedRows > 0n
    })
  }

  async getSetting(key: string): Promise<string | null> {
    const row = await this.#read((database) =>
      database.selectFrom('settings').select('value').where('key', '=', key).executeTakeFirst(),
    )
    return row?.value ?? null
  }

  setSetting(key: string, value: string | null): Promise<void> {
    return this.#change(async (transaction) => {
      if (value === null) await transaction.deleteFrom('settings').where('key', '=', key).execute()
      else
        await transaction
          .insertInto('settings')
          .values({ key, value })
          .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
          .execute()
    })
  }

  close(): Promise<void> {
    return this.#transactions.close()
  }

  #read<T>(work: Work<T>): Promise<T> {
    return this.#transactions.read(work)
  }

  #change<T>(work: Work<T>): Promise<T> {
    return this.#transactions.change(work)
  }
}

function rolloutColumns(rollout: Rollout): { readonly status: string; readonly body: string } {
  return { status: rollout.status, body: JSON.stringify(rollout) }
}

function merged<T>(
  old: Readonly<Record<string, T>>,
  changes: Readonly<Record<string, T | null>>,
): Readonly<Record<string, T>> {
  const result = new Map(Object.entries(old))
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) result.delete(key)
    else result.set(key, value)
  }
  return Object.fromEntries(result)
}
