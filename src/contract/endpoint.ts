import { z } from 'zod'
import type { ErrorCode } from '../model/errors.ts'
import type { Action } from '../model/identity.ts'

/** Content type of bodies and answers that are not JSON. */
export const BYTES = 'application/octet-stream'
export const NDJSON = 'application/x-ndjson'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** One operation of the API as data: what server, CLI and the OpenAPI document are made from. */
export interface Endpoint {
  readonly method: Method
  /** With `:name` for every key of `params`. */
  readonly path: string
  readonly params: z.ZodType
  /** Values arrive as text; clients give the parsed form (numbers, booleans), which `queryText` writes. */
  readonly query: z.ZodType
  /** JSON schema of the body, `BYTES` for raw bytes, null for none. */
  readonly body: z.ZodType | typeof BYTES | null
  /** Of the answer, or of each line where `stream` is `ndjson`; null = status 204 without a body. */
  readonly response: z.ZodType | null
  readonly stream: 'ndjson' | 'upgrade' | null
  /** What the asking token must be allowed to do; null = open to anybody. */
  readonly action: Action | null
  readonly summary: string
  /** Codes beside those that every endpoint may answer with (`COMMON_ERRORS`). */
  readonly errors: readonly ErrorCode[]
}

export const COMMON_ERRORS = [
  'INVALID_REQUEST',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'TOO_LARGE',
  'TIMEOUT',
  'INTERNAL',
] as const satisfies readonly ErrorCode[]

export const none = z.strictObject({})

/** What most endpoints have in common. */
export const GET = { method: 'GET', params: none, query: none, body: null, stream: null } as const
export const POST = { method: 'POST', params: none, query: none, stream: null } as const

/** A whole number in a query, kept as text on the way. */
export function queryNumber(min: number, max: number) {
  return z
    .string()
    .regex(/^\d{1,16}$/, 'expected a whole number')
    .transform(Number)
    .pipe(z.number().int().min(min).max(max))
}

export const queryFlag = z
  .enum(['true', 'false'], 'expected true or false')
  .transform((text) => text === 'true')

/** Path with the values filled in, and the query: `/v1/apps/shop/production/logs?limit=10`. */
export function endpointUrl(
  endpoint: Pick<Endpoint, 'path'>,
  params: Readonly<Record<string, string | number>> = {},
  query: Readonly<Record<string, string | number | boolean | undefined>> = {},
): string {
  const path = endpoint.path.replaceAll(/:([a-z]+)/gi, (_, key: string) => {
    const value = params[key]
    if (value === undefined) throw new TypeError(`${endpoint.path} needs the parameter ${key}`)
    return encodeURIComponent(value)
  })
  const text = queryText(query)
  return text === '' ? path : `${path}?${text}`
}

/** Query string without '?'; keys whose value is undefined are left out. */
export function queryText(
  query: Readonly<Record<string, string | number | boolean | undefined>>,
): string {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined) search.set(key, String(value))
  }
  return search.toString()
}
