import type { Generated } from 'kysely'

/** Tables as Kysely sees them. JSON columns are texts here; records.ts parses them. Times are milliseconds since the epoch. */
export interface DatabaseSchema {
  readonly migrations: {
    readonly number: number
    readonly name: string
    readonly applied_at: number
  }
  readonly apps: {
    readonly app: string
    readonly environment: string
    readonly created_at: number
    readonly active: number | null
    readonly config: string
    readonly config_version: number
    readonly scale: string
    readonly deleting: number
    /** Highest release number that was ever given: numbers are not used twice. */
    readonly last_release: number
  }
  readonly releases: {
    readonly app: string
    readonly environment: string
    readonly number: number
    readonly image: string
    readonly spec: string
    readonly config: string
    readonly config_version: number
    readonly created_at: number
    readonly created_by: string
    readonly reason: string
    readonly status: string
    readonly secrets: string
  }
  readonly environment_keys: {
    readonly app: string
    readonly environment: string
    readonly recipient: string
    readonly wrapped: string
    readonly created_at: number
  }
  readonly environment_values: {
    readonly app: string
    readonly environment: string
    readonly name: string
    readonly sealed: string
    readonly changed_at: number
  }
  readonly rollouts: {
    readonly sequence: Generated<number>
    readonly id: string
    readonly app: string
    readonly environment: string
    readonly status: string
    readonly body: string
  }
  readonly tokens: {
    readonly id: string
    readonly name: string
    readonly hash: string
    readonly person: string | null
    readonly grants: string
    readonly created_at: number
    readonly expires_at: number | null
    readonly last_used_at: number | null
  }
  readonly teams: { readonly name: string; readonly apps: string; readonly created_at: number }
  readonly bindings: {
    readonly id: string
    readonly kind: string
    readonly name: string
    /** The grant. */
    readonly body: string
    readonly created_at: number
    readonly created_by: string
  }
  readonly protections: {
    readonly environment: string
    readonly wait_ms: number
    readonly created_at: number
    readonly created_by: string
  }
  readonly targets: {
    readonly name: string
    readonly kubeconfig: string
    readonly context: string | null
    readonly settings: string
    readonly created_at: number
  }
  readonly leases: {
    readonly name: string
    /** Null = free. */
    readonly holder: string | null
    readonly token: number
    /** By the database's clock. */
    readonly expires_at: number
  }
  readonly audit: {
    readonly seq: number
    readonly time: number
    readonly actor_id: string | null
    readonly actor: string
    readonly action: string
    readonly app: string | null
    readonly environment: string | null
    readonly outcome: string
    /** The record: JSON with its hash. */
    readonly line: string
  }
  /** One row. */
  readonly audit_head: {
    readonly id: number
    readonly seq: number
    readonly hash: string
    readonly time: number
    readonly first_seq: number
    readonly first_prev: string
  }
  readonly users: {
    readonly id: string
    readonly issuer: string
    readonly subject: string
    readonly name: string
    readonly email: string | null
    /** JSON. */
    readonly member_of: string
    readonly created_at: number
    readonly last_login_at: number
  }
  readonly sessions: {
    readonly id: string
    readonly user_id: string
    readonly hash: string
    readonly client: string
    readonly created_at: number
    readonly last_used_at: number
    readonly confirmed_at: number
    readonly expires_at: number
    readonly credentials: string
  }
  readonly settings: { readonly key: string; readonly value: string }
}
