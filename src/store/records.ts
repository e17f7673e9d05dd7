import type { Selectable } from 'kysely'
import type * as z from 'zod'
import { parseAppName, parseEnvironmentName, parseTargetName, type AppRef } from '../model/names.ts'
import type { Binding, Protection, Team } from '../model/access.ts'
import type { Release, Rollout } from '../model/release.ts'
import type { AppRecord, EnvironmentKeyRecord, TargetRecord, TokenRecord } from '../model/store.ts'
import type { DatabaseSchema } from './database-schema.ts'
import {
  appsSchema,
  bindingKindSchema,
  configSchema,
  documentsSchema,
  grantSchema,
  grantsSchema,
  imageSchema,
  rolloutSchema,
  scaleSchema,
  specSchema,
  statusSchema,
} from './record-schema.ts'

type Row<Table extends keyof DatabaseSchema> = Selectable<DatabaseSchema[Table]>

/** Rows to records. A row that does not parse is broken or not ours: the error names table and key. */
export function toApp(row: Row<'apps'>): AppRecord {
  const where = `apps ${row.app}/${row.environment}`
  return {
    ref: toRef(row),
    createdAt: row.created_at,
    active: row.active,
    config: parseColumn(configSchema, row.config, `${where} config`),
    configVersion: row.config_version,
    scale: parseColumn(scaleSchema, row.scale, `${where} scale`),
    deleting: row.deleting !== 0,
  }
}

export function toRelease(row: Row<'releases'>): Release {
  const where = `releases ${row.app}/${row.environment}/${row.number}`
  return {
    ref: toRef(row),
    number: row.number,
    image: parseColumn(imageSchema, row.image, `${where} image`),
    spec: parseColumn(specSchema, row.spec, `${where} spec`),
    config: parseColumn(configSchema, row.config, `${where} config`),
    configVersion: row.config_version,
    createdAt: row.created_at,
    createdBy: row.created_by,
    reason: row.reason,
    status: statusSchema.parse(row.status),
    ...(row.secrets === '[]'
      ? {}
      : { secrets: parseColumn(documentsSchema, row.secrets, `${where} secrets`) }),
  }
}

export function toRollout(row: Row<'rollouts'>): Rollout {
  return parseColumn(rolloutSchema, row.body, `rollouts ${row.id} body`)
}

export function toToken(row: Row<'tokens'>): TokenRecord {
  return {
    id: row.id,
    name: row.name,
    hash: row.hash,
    person: row.person,
    grants: parseColumn(grantsSchema, row.grants, `tokens ${row.id} grants`),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
  }
}

export function toTeam(row: Row<'teams'>): Team {
  return {
    name: row.name,
    apps: parseColumn(appsSchema, row.apps, `teams ${row.name} apps`),
    createdAt: row.created_at,
  }
}

export function toBinding(row: Row<'bindings'>): Binding {
  return {
    id: row.id,
    kind: bindingKindSchema.parse(row.kind),
    name: row.name,
    grant: parseColumn(grantSchema, row.body, `bindings ${row.id} body`),
    createdAt: row.created_at,
    createdBy: row.created_by,
  }
}

export function toProtection(row: Row<'protections'>): Protection {
  return {
    environment: row.environment,
    waitMs: row.wait_ms,
    createdAt: row.created_at,
    createdBy: row.created_by,
  }
}

export function toEnvironmentKey(row: Row<'environment_keys'>): EnvironmentKeyRecord {
  const { recipient, wrapped, created_at: createdAt } = row
  return { ref: toRef(row), recipient, wrapped, createdAt }
}

export function toTarget(row: Row<'targets'>): TargetRecord {
  return {
    name: parseTargetName(row.name),
    kubeconfig: row.kubeconfig,
    context: row.context,
    settings: parseColumn(configSchema, row.settings, `targets ${row.name} settings`),
    createdAt: row.created_at,
  }
}

export function fromRelease(release: Release): Row<'releases'> {
  const { ref } = release
  return {
    app: ref.app,
    environment: ref.environment,
    number: release.number,
    image: JSON.stringify(release.image),
    spec: JSON.stringify(release.spec),
    config: JSON.stringify(release.config),
    config_version: release.configVersion,
    created_at: release.createdAt,
    created_by: release.createdBy,
    reason: release.reason,
    status: release.status,
    secrets: JSON.stringify(release.secrets ?? []),
  }
}

export function fromToken(token: TokenRecord): Row<'tokens'> {
  return {
    id: token.id,
    name: token.name,
    hash: token.hash,
    person: token.person,
    grants: JSON.stringify(token.grants),
    created_at: token.createdAt,
    expires_at: token.expiresAt,
    last_used_at: token.lastUsedAt,
  }
}

export function fromTarget(target: TargetRecord): Row<'targets'> {
  return {
    name: target.name,
    kubeconfig: target.kubeconfig,
    context: target.context,
    settings: JSON.stringify(target.settings),
    created_at: target.createdAt,
  }
}

export function toRef(row: { readonly app: string; readonly environment: string }): AppRef {
  return { app: parseAppName(row.app), environment: parseEnvironmentName(row.environment) }
}

function parseColumn<T>(schema: z.ZodType<T>, text: string, where: string): T {
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new Error(`the database has an unreadable value in ${where}`, { cause })
  }
}
