import type { AuditReader } from '../model/audit.ts'
import { route, type Routes } from './route.ts'

const DEFAULT_RECORDS = 100

export function auditRoutes(audit: AuditReader): Pick<Routes, 'listAudit' | 'exportAudit'> {
  return {
    listAudit: route('listAudit', ({ query, signal }) => {
      const { limit = DEFAULT_RECORDS, follow = false, ...filter } = query
      return Promise.resolve(asBodies(audit.list({ ...filter, limit, follow }, signal)))
    }),
    exportAudit: route('exportAudit', () => Promise.resolve(asBodies(audit.export()))),
  }
}

async function* asBodies(lines: AsyncIterable<string>): AsyncGenerator<{ line: string }> {
  for await (const line of lines) yield { line }
}
