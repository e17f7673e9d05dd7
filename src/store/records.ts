import type { Selectable } from 'kysely'
import type * as z from 'zod'
import { parseAppName, parseEnvironmentName, type AppRef } from '../model/names.ts'
import type { Release, Rollout } from '../model/release.ts'
import type { AppRecord, TokenRecord } from '../model/store.ts'
import type { DatabaseSchema } from './database-schema.ts'
import {
  configSchema,
  imageSchema,
  roleSchema,
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
    role: roleSchema.parse(row.role),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
  }
}

function toRef(row: { readonly app: string; readonly environment: string }): AppRef {
  return { app: parseAppName(row.app), environment: parseEnvironmentName(row.environment) }
}

function parseColumn<T>(schema: z.ZodType<T>, text: string, where: string): T {
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new Error(`the database has an unreadable value in ${where}`, { cause })
  }
}
