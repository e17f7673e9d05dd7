import { z } from 'zod'
import { ERRORS, FairwayError, type ErrorCode } from '../model/errors.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseProcessName,
  type AppName,
  type EnvironmentName,
  type ProcessName,
} from '../model/names.ts'
import { DURATION_BOUNDS } from '../model/traffic.ts'
import type { Published } from './plane.ts'

/** What the control socket speaks: JSON over HTTP on a Unix socket, both ends parse with these schemas. */
const name = <T>(parse: (text: string) => T) =>
  z.string().transform((text, context): T => {
    try {
      return parse(text)
    } catch {
      context.addIssue({ code: 'custom', message: 'not a valid name' })
      return z.NEVER
    }
  })

const ref = z.strictObject({
  app: name<AppName>(parseAppName),
  environment: name<EnvironmentName>(parseEnvironmentName),
})

const id = z.string().min(1).max(200)

const target = z.strictObject({
  id,
  address: z.strictObject({
    host: z.string().min(1).max(253),
    port: z.number().int().min(1).max(65_535),
  }),
  weight: z.number().min(0),
})

const service = z.strictObject({
  key: z.string().min(1).max(200),
  ref,
  process: name<ProcessName>(parseProcessName),
  targets: z.array(target),
  expected: z.boolean(),
  holdMs: z.number().min(0),
})

const route = z.strictObject({
  host: z.string().regex(/^(?:\*\.)?[a-z0-9._-]{1,253}$/),
  path: z.string().startsWith('/'),
  service: z.string().min(1),
})

export const tableSchema = z.strictObject({
  revision: z.number().int().min(0),
  services: z.array(service),
  routes: z.array(route),
})

export const publishedSchema = z.strictObject({
  table: tableSchema,
  callers: z.array(z.strictObject({ address: z.string().min(1).max(64), ref })),
})

export const currentSchema = z.strictObject({ table: tableSchema.nullable() })

export const drainSchema = z.strictObject({
  id,
  deadlineMs: z.number().min(0).max(2_147_000_000),
})

const path = z.string().startsWith('/').max(4096)

/** Which program is to take over from a router, and the file that its output is added to. */
export const successorSchema = z.strictObject({
  program: path,
  args: z.array(z.string().max(4096)).max(100),
  env: z.record(z.string(), z.string()),
  log: path,
})

export type SuccessorOrder = z.infer<typeof successorSchema>

export const begunSchema = z.strictObject({ pid: z.number().int().positive() })

export const drainedSchema = z.strictObject({ cut: z.number().int().min(0) })

const count = z.number().min(0)
const durations = z.array(count).length(DURATION_BOUNDS.length + 1)

export const loadSchema = z.array(
  z.strictObject({
    id,
    inflight: z.number().int().min(0),
    served: z.strictObject({ requests: count, failures: count, durations }),
  }),
)

export const statsSchema = z.strictObject({
  services: z.record(
    z.string(),
    z.strictObject({
      requests: z.strictObject({
        '1xx': count,
        '2xx': count,
        '3xx': count,
        '4xx': count,
        '5xx': count,
        aborted: count,
      }),
      durations,
      durationSumMs: count,
      inflight: count,
      retries: count,
      held: count,
    }),
  ),
})

const address = z.strictObject({ host: z.string(), port: z.number() })

export const statusSchema = z.strictObject({
  pid: z.number().int(),
  startedAt: z.number(),
  revision: z.number().int().nullable(),
  connections: count,
  inflight: count,
  memoryBytes: count,
  addresses: z.strictObject({
    http: address.nullable(),
    https: address.nullable(),
    internal: address.nullable(),
    dns: address.nullable(),
    control: z.string(),
  }),
})

/** Counters of every service since the router started; `durations` as in counters.ts. */
export type RouterStats = z.infer<typeof statsSchema>
export type RouterStatus = z.infer<typeof statusSchema>

const errorSchema = z.strictObject({ code: z.string(), message: z.string() })

/** @throws ZodError where it is not a table with callers */
export function parsePublished(value: unknown): Published {
  return publishedSchema.parse(value)
}

/** The error that the other end reported. */
export function parseError(value: unknown): FairwayError {
  const parsed = errorSchema.safeParse(value)
  if (!parsed.success || !isErrorCode(parsed.data.code)) {
    return new FairwayError('INTERNAL', 'the router answered with an unknown error')
  }
  return new FairwayError(parsed.data.code, parsed.data.message)
}

function isErrorCode(code: string): code is ErrorCode {
  return code in ERRORS
}
