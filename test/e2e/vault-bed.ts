import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OpenBao } from '../openbao.ts'
import { startPostgresCluster, type PostgresCluster } from '../postgres-cluster.ts'

/** What the server's login may do in Vault: the policy of docs/secrets.md. */
const POLICY = `path "secret/data/*" { capabilities = ["read"] }
path "plain/*" { capabilities = ["read"] }
path "database/creds/*" { capabilities = ["read"] }
path "sys/leases/revoke" { capabilities = ["update"] }
`

export interface VaultBed {
  readonly bao: OpenBao
  readonly postgres: PostgresCluster
  /** Variables of a server that logs in by AppRole with a token of 12 s. */
  readonly env: Readonly<Record<string, string>>
  /** Sets a value of KV version 2. */
  set(path: string, data: Readonly<Record<string, string>>): Promise<void>
  /** Users that `database/creds/shop` made and that exist now, with their ends in seconds since 1970. */
  users(): Promise<readonly { readonly name: string; readonly until: number }[]>
  remove(): Promise<void>
}

/** A real OpenBao with KV of both versions and a database engine over a real PostgreSQL, whose users live for `leaseSeconds` unless renewed. */
export async function openVaultBed(options: {
  readonly programs: string
  readonly leaseSeconds: number
}): Promise<VaultBed> {
  const home = await mkdtemp(join(tmpdir(), 'fairway-vault-'))
  const postgres = await startPostgresCluster(options.programs)
  await postgres.start()
  const bao = await OpenBao.open(join(home, 'bao'))
  const remove = async (): Promise<void> => {
    await bao.kill()
    await postgres.remove()
    await rm(home, { recursive: true, force: true })
  }
  try {
    await bao.call('POST', 'sys/mounts/secret', { type: 'kv', options: { version: '2' } })
    await bao.call('POST', 'sys/mounts/plain', { type: 'kv', options: { version: '1' } })
    await openDatabase(bao, postgres, options.leaseSeconds)
    const secretIdFile = join(home, 'secret-id')
    const roleId = await openLogin(bao, { secretIdFile, policy: POLICY })
    return {
      bao,
      postgres,
      remove,
      env: {
        FAIRWAY_VAULT_ADDR: bao.address,
        FAIRWAY_VAULT_AUTH: 'approle',
        FAIRWAY_VAULT_ROLE: roleId,
        FAIRWAY_VAULT_SECRET_ID_FILE: secretIdFile,
        FAIRWAY_VAULT_PATHS:
          'shop/production=secret/shop/production/ plain/shop database/creds/shop; */staging=secret/{app}/{environment}/',
        FAIRWAY_VAULT_REFRESH_SECONDS: '1',
      },
      set: async (path, data) => {
        const [mount, ...rest] = path.split('/')
        await bao.call('POST', `${String(mount)}/data/${rest.join('/')}`, { data })
      },
      users: async () => {
        const rows = await postgres.query(
          'postgres',
          "select rolname as name, extract(epoch from rolvaliduntil)::float8 as until from pg_roles where rolname like 'v-%'",
        )
        return rows.map(({ name, until }) => ({ name: String(name), until: Number(until) }))
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

async function openDatabase(
  bao: OpenBao,
  { port, password }: PostgresCluster,
  leaseSeconds: number,
): Promise<void> {
  await bao.call('POST', 'sys/mounts/database', { type: 'database' })
  await bao.call('POST', 'database/config/main', {
    plugin_name: 'postgresql-database-plugin',
    allowed_roles: 'shop',
    connection_url: `postgresql://{{username}}:{{password}}@127.0.0.1:${String(port)}/postgres?sslmode=require`,
    username: 'fairway',
    password,
  })
  await bao.call('POST', 'database/roles/shop', {
    db_name: 'main',
    creation_statements: [
      "create role \"{{name}}\" with login password '{{password}}' valid until '{{expiration}}'",
    ],
    revocation_statements: ['drop role if exists "{{name}}"'],
    default_ttl: `${String(leaseSeconds)}s`,
    max_ttl: '1h',
  })
}

/** A login by AppRole with the policy `fairway`. @returns the id of the role */
export async function openLogin(
  bao: OpenBao,
  { secretIdFile, policy }: { readonly secretIdFile: string; readonly policy: string },
): Promise<string> {
  await bao.call('PUT', 'sys/policies/acl/fairway', { policy })
  await bao.call('POST', 'sys/auth/approle', { type: 'approle' })
  await bao.call('POST', 'auth/approle/role/fairway', {
    token_policies: ['fairway'],
    token_ttl: '12s',
    token_max_ttl: '1h',
  })
  const role = await bao.call('GET', 'auth/approle/role/fairway/role-id')
  const secret = await bao.call('POST', 'auth/approle/role/fairway/secret-id')
  await writeFile(secretIdFile, dataOf(secret, 'secret_id'), { mode: 0o600 })
  return dataOf(role, 'role_id')
}

function dataOf(answer: Readonly<Record<string, unknown>>, name: string): string {
  const { data } = answer
  if (typeof data !== 'object' || data === null) throw new Error('an answer without data')
  return String(Object.entries(data).find(([key]) => key === name)?.[1])
}
