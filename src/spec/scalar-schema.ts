import { isIP } from 'node:net'
import * as z from 'zod'
import { isName } from '../model/names.ts'
import { parseCpu, parseDuration, parsePercent, parseSize } from './quantity.ts'
import { splitCommand } from './split-command.ts'

/**
 * Single values of the app file. Each takes what YAML gives (text or number), gives what the model wants, and says in words
 * what was expected; `meta` is what editors see in the JSON Schema.
 */
type Parsed<T> = { readonly value: T } | { readonly expected: string }

interface ScalarMeta {
  readonly type: string | readonly string[]
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
}

function scalar<T>(parse: (value: unknown) => Parsed<T>, meta: ScalarMeta) {
  return z
    .unknown()
    .meta({ ...meta })
    .transform((value, context): T => {
      const result = parse(value)
      if ('value' in result) return result.value
      context.addIssue({
        code: 'custom',
        message: `expected ${result.expected}, found ${describe(value)}`,
      })
      return z.NEVER
    })
}

/** How a wrong value is quoted in messages. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'a map'
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

interface DurationLimits {
  readonly min?: string
  readonly max?: string
}

export function duration({ min = '0s', max = '366d' }: DurationLimits = {}) {
  const least = parseDuration(min) ?? 0
  const most = parseDuration(max) ?? Number.POSITIVE_INFINITY
  return scalar<number>(
    (value) => {
      const ms = typeof value === 'string' ? parseDuration(value) : null
      if (ms === null) return { expected: 'a duration such as 500ms, 30s, 10m or 1h30m' }
      if (ms < least || ms > most) return { expected: `a duration from ${min} to ${max}` }
      return { value: ms }
    },
    { type: 'string', pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$' },
  )
}

export function size({ min = '1Ki', max = '1024Ti' }: { min?: string; max?: string } = {}) {
  const least = parseSize(min) ?? 0
  const most = parseSize(max) ?? Number.POSITIVE_INFINITY
  return scalar<number>(
    (value) => {
      const bytes = typeof value === 'string' ? parseSize(value) : null
      if (bytes === null) return { expected: 'a size with a unit such as 512Mi or 1G' }
      if (bytes < least || bytes > most) return { expected: `a size from ${min} to ${max}` }
      return { value: bytes }
    },
    { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(k|K|M|G|T|Ki|Mi|Gi|Ti)B?$' },
  )
}

export const cpu = scalar<number>(
  (value) => {
    const cores = typeof value === 'string' || typeof value === 'number' ? parseCpu(value) : null
    if (cores === null || cores < 0.01 || cores > 1024)
      return { expected: 'cores from 0.01 to 1024 such as 0.5, 2 or 500m' }
    return { value: cores }
  },
  { type: ['number', 'string'] },
)

export const percent = scalar<number>(
  (value) => {
    const share = typeof value === 'string' ? parsePercent(value) : null
    return share === null ? { expected: 'a share such as 70%' } : { value: share }
  },
  { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?%$' },
)

/** '<1%' to 0.01. */
export const shareBound = scalar<number>(
  (value) => {
    const share = typeof value === 'string' ? parsePercent(value.replace(/^<\s*/, '')) : null
    return share === null || !isBound(value)
      ? { expected: 'a bound such as "<1%"' }
      : { value: share / 100 }
  },
  { type: 'string', pattern: '^<\\s*[0-9]+(\\.[0-9]+)?%$' },
)

/** '<500ms' to 500. */
export const durationBound = scalar<number>(
  (value) => {
    const ms = typeof value === 'string' ? parseDuration(value.replace(/^<\s*/, '')) : null
    return ms === null || ms === 0 || !isBound(value)
      ? { expected: 'a bound such as "<500ms" or "<2s"' }
      : { value: ms }
  },
  { type: 'string', pattern: '^<\\s*[0-9]+(\\.[0-9]+)?(ms|s|m)$' },
)

function isBound(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith('<')
}

export function integer(min: number, max: number) {
  return scalar<number>(
    (value) =>
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
        ? { value }
        : { expected: `a whole number from ${min} to ${max}` },
    { type: 'integer', minimum: min, maximum: max },
  )
}

export function matching(pattern: RegExp, expected: string) {
  return scalar<string>(
    (value) => (typeof value === 'string' && pattern.test(value) ? { value } : { expected }),
    { type: 'string', pattern: pattern.source },
  )
}

/** A text that may also be written as a number, such as a version: `16` is '16'. */
export const label = scalar<string>(
  (value) => {
    if (typeof value === 'string' && value !== '' && value.length <= 200) return { value }
    if (typeof value === 'number') return { value: String(value) }
    return { expected: 'a text of 1 to 200 characters' }
  },
  { type: ['string', 'number'] },
)

export const name = scalar<string>(
  (value) =>
    typeof value === 'string' && isName(value)
      ? { value }
      : { expected: 'a name of 1 to 40 of a-z, 0-9 and -, starting with a letter' },
  { type: 'string', pattern: '^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$' },
)

/** Path of a URL: starts with '/', no query, no '..', no control characters. */
export const urlPath = scalar<string>(
  (value) =>
    typeof value === 'string' &&
    /^\/[^\s?#\\]{0,500}$/.test(value) &&
    !value.split('/').includes('..')
      ? { value }
      : { expected: 'a path that starts with / such as /healthz' },
  { type: 'string', pattern: '^/' },
)

/** A readiness path may have a query. */
export const probePath = matching(
  /^\/[^\s#\\]{0,500}$/,
  'a path that starts with / such as /healthz',
)

export const host = scalar<string>(
  (value) => {
    if (typeof value !== 'string') return { expected: 'a host name such as shop.example.com' }
    const lower = value.toLowerCase()
    const labels = lower.startsWith('*.') ? lower.slice(2) : lower
    const fine =
      lower.length <= 253 &&
      labels.split('.').every((part) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(part))
    if (!fine)
      return { expected: 'a host name such as shop.example.com, without scheme, port or path' }
    // The router owns these: internal names follow from app and process, and a bare address or `localhost` is no app's.
    return labels === 'internal' ||
      labels.endsWith('.internal') ||
      labels === 'localhost' ||
      isIP(labels) !== 0
      ? {
          expected:
            'a host name of its own such as shop.example.com; *.internal, localhost and addresses are not for apps',
        }
      : { value: lower }
  },
  { type: 'string' },
)

/** Relative path inside the source, '.' for all of it. */
export const sourcePath = scalar<string>(
  (value) => {
    const expected = 'a relative path inside the app folder such as . or services/api'
    if (typeof value !== 'string' || value === '' || value.length > 1000) return { expected }
    if (value.startsWith('/') || /[\\\0]/.test(value)) return { expected }
    const segments = value.split('/').filter((segment) => segment !== '' && segment !== '.')
    if (segments.includes('..')) return { expected }
    return { value: segments.length === 0 ? '.' : segments.join('/') }
  },
  { type: 'string' },
)

/** A text that is split like a shell would, or a list that is taken as it is. */
export const command = z
  .unknown()
  .meta({ type: ['string', 'array'], items: { type: 'string' }, minItems: 1 })
  .transform((value, context): readonly string[] => {
    const result = parseCommand(value)
    if (typeof result !== 'string') return result
    context.addIssue({ code: 'custom', message: result })
    return z.NEVER
  })

function parseCommand(value: unknown): readonly string[] | string {
  if (typeof value === 'string') {
    const split = splitCommand(value)
    if (split.ok) return split.argv
    if (!split.reason.includes('needs a shell')) return `${split.reason}: ${describe(value)}`
    return `${split.reason}; write a list: ["sh", "-c", ${describe(value)}]`
  }
  const expected = 'expected a command such as node server.js, or a list of texts'
  if (!Array.isArray(value)) return `${expected}, found ${describe(value)}`
  const words: readonly unknown[] = value
  const argv = words.filter((word) => typeof word === 'string')
  if (argv.length !== words.length || argv.length === 0)
    return `${expected}, found ${describe(words.find((word) => typeof word !== 'string'))}`
  if (argv[0] === '' || argv.some((word) => word.includes('\0')))
    return `${expected} without NUL characters that starts with a program`
  return argv
}
