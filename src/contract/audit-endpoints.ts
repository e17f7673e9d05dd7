import { z } from 'zod'
import { AUDIT_OUTCOMES } from '../model/audit.ts'
import { GET, queryFlag, queryNumber, type Endpoint } from './endpoint.ts'
import { appName, environmentName } from './name.ts'

/** A record exactly as it is kept: its hash is over these bytes. */
export const auditLine = z.object({ line: z.string() }).meta({ id: 'AuditLine' })
export type AuditLineBody = z.output<typeof auditLine>

const word = z.string().min(1).max(200)

/** The part of the API about the audit. */
export const AUDIT_ENDPOINTS = {
  listAudit: {
    ...GET,
    path: '/v1/audit',
    query: z.strictObject({
      app: appName.optional(),
      environment: environmentName.optional(),
      actor: word.optional(),
      action: word.optional(),
      outcome: z.enum(AUDIT_OUTCOMES).optional(),
      since: queryNumber(0, Number.MAX_SAFE_INTEGER).optional(),
      limit: queryNumber(1, 10_000).optional(),
      follow: queryFlag.optional(),
    }),
    response: auditLine,
    stream: 'ndjson',
    action: 'audit:read',
    summary:
      'The newest records that match (limit: 100), and with follow every later one; without audit:export only those of apps where the caller may read them',
    errors: [],
  },
  exportAudit: {
    ...GET,
    path: '/v1/audit/export',
    response: auditLine,
    stream: 'ndjson',
    action: 'audit:export',
    summary: 'Every record that is kept, oldest first, and a signed checkpoint as the last line',
    errors: [],
  },
} as const satisfies Record<string, Endpoint>
