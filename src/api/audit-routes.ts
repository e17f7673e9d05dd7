import type { AuditReader } from '../model/audit.ts'
import type { AppPlace, Identity } from '../model/identity.ts'
import { bearerToken } from './credentials.ts'
import { route, type Routes } from './route.ts'

const DEFAULT_RECORDS = 100

export function auditRoutes(
  audit: AuditReader,
  identity: Identity,
): Pick<Routes, 'listAudit' | 'exportAudit'> {
  /** Asked anew while records are followed: grants and teams may be others by then. */
  const visibleTo = async (token: string): Promise<readonly AppPlace[] | null> => {
    const subject = await identity.authenticate(token)
    if (subject === null) return []
    const whole = identity.decide(subject, 'audit:export', { app: null }, null).allowed
    return whole ? null : identity.placesOf(subject, 'audit:read')
  }
  return {
    listAudit: route('listAudit', ({ query, signal, request }) => {
      const { limit = DEFAULT_RECORDS, follow = false, ...filter } = query
      const token = bearerToken(request.headers.authorization) ?? ''
      const visible = () => visibleTo(token)
      return Promise.resolve(asBodies(audit.list({ ...filter, limit, follow, visible }, signal)))
    }),
    exportAudit: route('exportAudit', () => Promise.resolve(asBodies(audit.export()))),
  }
}

async function* asBodies(lines: AsyncIterable<string>): AsyncGenerator<{ line: string }> {
  for await (const line of lines) yield { line }
}
