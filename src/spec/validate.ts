import type * as z from 'zod'
import { didYouMean } from './did-you-mean.ts'
import type { AppDocument, Path } from './document.ts'
import { isJsonObject, type Json } from './merge-patch.ts'
import type { Problem } from './problem.ts'
import { describe } from './scalar-schema.ts'
import { knownKeys, pathsTo } from './schema-node.ts'

/** Finds where a path of the merged file stands: in the overlay of the environment where it is there, else outside. */
export type Locator = (path: Path, at: 'key' | 'value') => ReturnType<AppDocument['locate']>

export function locator(document: AppDocument, environment: string | null): Locator {
  return (path, at) => {
    const overlay = environment === null ? null : ['environments', environment, ...path]
    if (overlay === null) return document.locate(path, at)
    for (let length = path.length; length >= 0; length--) {
      const missing = path.length - length
      if (document.has(overlay.slice(0, overlay.length - missing)))
        return document.locate(overlay, at)
      if (document.has(path.slice(0, length))) return document.locate(path, at)
    }
    return document.locate(path, at)
  }
}

type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Checks data against a schema; keys that start with `x-` are allowed in every map with fixed keys and left out. */
export function validate<T extends z.ZodType>(
  schema: T,
  data: Json,
  locate: Locator,
): Checked<z.output<T>> {
  const first = schema.safeParse(data)
  if (first.success) return { ok: true, value: first.data }
  const extensions = first.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.filter((key) => key.startsWith('x-')).map((key) => [...pathOf(issue.path), key])
      : [],
  )
  if (extensions.length > 0) {
    return validate(schema, extensions.reduce<Json>(without, data), locate)
  }
  const problems = first.error.issues.flatMap((issue) => problemsOf(issue, schema, data, locate))
  return { ok: false, problems }
}

/** A problem at a place of the merged file. */
export function problemOf(
  locate: Locator,
  path: Path,
  message: string,
  options: { readonly suggestion?: string; readonly at?: 'key' | 'value' } = {},
): Problem {
  const { suggestion = '', at = 'value' } = options
  return { path: path.join('.'), ...locate(path, at), message, suggestion }
}

function problemsOf(
  issue: z.core.$ZodIssue,
  schema: z.ZodType,
  data: Json,
  locate: Locator,
): readonly Problem[] {
  const path = pathOf(issue.path)
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => unknownKey(schema, path, key, locate))
  if (issue.code === 'invalid_key') {
    const key = String(path.at(-1))
    const message = `${JSON.stringify(key)} cannot be used as a name here`
    return [problemOf(locate, path, message, { at: 'key', suggestion: keyRule(path) })]
  }
  const found = valueAt(data, path)
  if (found === undefined) return [missingKey(path, locate)]
  const message = wording(issue, found)
  const suggestion =
    issue.code === 'invalid_value' && typeof found === 'string'
      ? didYouMean(found, issue.values.map(String))
      : ''
  return [problemOf(locate, path, message, { suggestion })]
}

function unknownKey(schema: z.ZodType, path: Path, key: string, locate: Locator): Problem {
  const known = knownKeys(schema, path)
  const near = didYouMean(key, known)
  const deeper = pathsTo(schema, path, key)[0]
  const elsewhere =
    deeper !== undefined
      ? `it belongs in ${deeper}`
      : path.length > 0 && knownKeys(schema, []).includes(key)
        ? 'it belongs at the top of the file'
        : ''
  const all = known.length > 0 ? `known here: ${known.join(', ')}` : ''
  return problemOf(locate, [...path, key], `unknown key ${JSON.stringify(key)}`, {
    at: 'key',
    suggestion: near || elsewhere || all,
  })
}

function missingKey(path: Path, locate: Locator): Problem {
  const key = String(path.at(-1) ?? '')
  const suggestion = key === 'version' ? 'add the line "version: 1"' : ''
  const parent = path.slice(0, -1)
  const message = `the key ${JSON.stringify(key)} is missing`
  return problemOf(locate, parent, message, { at: 'key', suggestion })
}

function keyRule(path: Path): string {
  return path.at(-2) === 'env'
    ? 'names of variables are letters, digits and _, not starting with a digit'
    : 'names are 1 to 40 of a-z, 0-9 and -, starting with a letter'
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  boolean: 'true or false',
  object: 'a map',
  record: 'a map',
  array: 'a list',
}

function wording(issue: z.core.$ZodIssue, found: Json): string {
  if (issue.code === 'invalid_type')
    return `expected ${KINDS[issue.expected] ?? issue.expected}, found ${describe(found)}`
  if (issue.code === 'invalid_value' && !issue.message.startsWith('expected'))
    return `expected ${issue.values.map(String).join(', ')}, found ${describe(found)}`
  if (issue.code === 'invalid_value' || issue.code === 'invalid_union')
    return `${issue.message}, found ${describe(found)}`
  if (issue.code === 'too_small') return `expected at least ${String(issue.minimum)} entries`
  if (issue.code === 'too_big') return `longer than ${String(issue.maximum)}`
  return issue.message
}

function pathOf(path: readonly PropertyKey[]): (string | number)[] {
  return path.map((part) => (typeof part === 'symbol' ? String(part) : part))
}

function valueAt(data: Json, path: Path): Json | undefined {
  let value: Json | undefined = data
  for (const part of path) {
    if (Array.isArray(value)) value = (value as readonly Json[])[Number(part)]
    else if (isJsonObject(value)) value = value[String(part)]
    else return undefined
  }
  return value
}

function without(data: Json, path: Path): Json {
  const [head, ...rest] = path
  if (head === undefined || typeof data !== 'object' || data === null) return data
  if (Array.isArray(data))
    return (data as readonly Json[]).map((item, i) => (i === head ? without(item, rest) : item))
  return Object.fromEntries(
    Object.entries(data).flatMap(([key, value]) => {
      if (key !== head) return [[key, value]]
      return rest.length === 0 ? [] : [[key, without(value, rest)]]
    }),
  )
}
