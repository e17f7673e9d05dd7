import { sql, type Kysely } from 'kysely'
import { CHAIN_START } from '../lib/hash-chain.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { DatabaseSchema } from './database-schema.ts'

interface Migration {
  readonly name: string
  /** Plain SQL that SQLite and PostgreSQL both take, but for the words in `{}`: see ColumnTypes. */
  readonly statements: readonly string[]
}

/** What the databases call differently. */
export interface ColumnTypes {
  /** A primary key that the database counts up by itself. */
  readonly counter: string
}

export const SQLITE_TYPES: ColumnTypes = { counter: 'integer primary key' }
export const POSTGRES_TYPES: ColumnTypes = {
  counter: 'bigint generated always as identity primary key',
}

/** In order, numbered from 1; one that was released is never changed. */
export const MIGRATIONS: readonly Migration[] = [
  {
    name: 'first tables',
    statements: [
      `create table apps (
        app text not null, environment text not null, created_at bigint not null, active integer,
        config text not null, config_version integer not null, scale text not null, deleting integer not null,
        last_release integer not null, primary key (app, environment))`,
      `create table releases (
        app text not null, environment text not null, number integer not null, image text not null, spec text not null,
        config text not null, config_version integer not null, created_at bigint not null, created_by text not null,
        reason text not null, status text not null, primary key (app, environment, number),
        foreign key (app, environment) references apps (app, environment) on delete cascade)`,
      `create table rollouts (
        sequence {counter}, id text not null unique, app text not null, environment text not null,
        status text not null, body text not null,
        foreign key (app, environment) references apps (app, environment) on delete cascade)`,
      `create index rollouts_by_app on rollouts (app, environment, sequence)`,
      `create index rollouts_unfinished on rollouts (sequence) where status in ('queued', 'running')`,
      `create table tokens (
        id text primary key, name text not null, hash text not null unique, role text not null,
        created_at bigint not null, expires_at bigint, last_used_at bigint)`,
      `create table settings (key text primary key, value text not null)`,
    ],
  },
  {
    name: 'targets',
    statements: [
      `create table targets (
        name text primary key, kubeconfig text not null, context text, settings text not null, created_at bigint not null)`,
    ],
  },
  {
    name: 'leases',
    statements: [
      `create table leases (name text primary key, holder text, token bigint not null, expires_at bigint not null)`,
    ],
  },
  {
    name: 'grants',
    statements: [
      `alter table tokens add column grants text not null default '[]'`,
      `alter table tokens add column person text`,
      `update tokens set grants = '[{"role":"' || role || '","environment":null,"team":null,"app":null,"actions":null}]'`,
      `alter table tokens drop column role`,
      `create table teams (name text primary key, apps text not null, created_at bigint not null)`,
      `create table bindings (
        id text primary key, kind text not null, name text not null, body text not null,
        created_at bigint not null, created_by text not null)`,
      `create table protections (
        environment text primary key, wait_ms bigint not null, created_at bigint not null, created_by text not null)`,
    ],
  },
  {
    name: 'audit',
    statements: [
      `create table audit (
        seq bigint primary key, time bigint not null, actor_id text, actor text not null, action text not null, app text,
        environment text, outcome text not null, line text not null)`,
      `create index audit_by_time on audit (time)`,
      `create table audit_head (
        id integer primary key, seq bigint not null, hash text not null, time bigint not null, first_seq bigint not null,
        first_prev text not null)`,
      `insert into audit_head values (1, 0, '${CHAIN_START}', 0, 1, '${CHAIN_START}')`,
    ],
  },
  {
    name: 'secrets',
    statements: [
      `alter table releases add column secrets text not null default '[]'`,
      `create table environment_keys (
        app text not null, environment text not null, recipient text not null, wrapped text not null,
        created_at bigint not null, primary key (app, environment))`,
    ],
  },
  {
    name: 'users and sessions',
    statements: [
      `create table users (
        id text primary key, issuer text not null, subject text not null, name text not null unique, email text,
        member_of text not null, created_at bigint not null, last_login_at bigint not null)`,
      `create table sessions (
        id text primary key, user_id text not null references users (id) on delete cascade, hash text not null unique,
        client text not null, created_at bigint not null, last_used_at bigint not null, confirmed_at bigint not null,
        expires_at bigint not null, credentials text not null)`,
      `create index sessions_by_user on sessions (user_id)`,
    ],
  },
  {
    name: 'values of environments',
    statements: [
      `create table environment_values (
        app text not null, environment text not null, name text not null, sealed text not null,
        changed_at bigint not null, primary key (app, environment, name))`,
    ],
  },
]

export interface MigrateOptions {
  readonly types: ColumnTypes
  readonly clock: Clock
  /** `one transaction`: the caller began it and commits. Default: each migration in a transaction of its own. */
  readonly within?: 'one transaction'
  readonly migrations?: readonly Migration[]
}

/** Brings the schema up to date. @throws FairwayError CONFLICT for a schema that is newer than this program */
export async function migrate(
  database: Kysely<DatabaseSchema>,
  { types, clock, within, migrations = MIGRATIONS }: MigrateOptions,
): Promise<void> {
  await sql`create table if not exists migrations (number integer primary key, name text not null, applied_at bigint not null)`.execute(
    database,
  )
  const { last } = await database
    .selectFrom('migrations')
    .select(({ fn }) => fn.max<number | null>('number').as('last'))
    .executeTakeFirstOrThrow()
  const applied = last ?? 0
  if (applied > migrations.length) {
    throw new FairwayError(
      'CONFLICT',
      `the database was written by a newer Fairway (schema ${applied}, this one knows up to ${migrations.length})`,
      { hint: 'Start the newer version, or restore the backup from before the upgrade.' },
    )
  }
  for (const [index, { name, statements }] of migrations.entries()) {
    const number = index + 1
    if (number <= applied) continue
    const apply = async (transaction: Kysely<DatabaseSchema>): Promise<void> => {
      for (const statement of statements)
        await sql.raw(statement.replaceAll('{counter}', types.counter)).execute(transaction)
      const row = { number, name, applied_at: clock.now() }
      await transaction.insertInto('migrations').values(row).execute()
    }
    if (within === undefined) await database.transaction().execute(apply)
    else await apply(database)
  }
}
