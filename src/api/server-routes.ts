import { openApiDocument } from '../contract/openapi.ts'
import { route, type Routes } from './route.ts'

/** What this server is, for `GET /v1/version`. */
export interface ServerInfo {
  readonly version: string
  readonly engine: string
  readonly runner: string
}

export function serverRoutes(info: ServerInfo): Pick<Routes, 'health' | 'openapi' | 'version'> {
  // Made once, and not before somebody asks.
  let document: ReturnType<typeof openApiDocument> | null = null
  return {
    health: route('health', () => Promise.resolve({ status: 'ok' as const })),
    openapi: route('openapi', () => Promise.resolve((document ??= openApiDocument()))),
    version: route('version', () => Promise.resolve({ ...info })),
  }
}
