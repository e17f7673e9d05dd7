import { nestsDeeper } from '../lib/json-depth.ts'
import { OciError } from './oci-error.ts'

const MAX_DEPTH = 64

/**
 * I-JSON (RFC 7493) as the OCI specifications ask for: UTF-8, no duplicate keys. JSON.parse keeps the last of two equal keys and other
 * programs the first, which is how one document means two things. @throws OciError INVALID_IMAGE, naming `what`
 */
export function parseStrictJson(bytes: Uint8Array, what: string): unknown {
  const text = decoded(bytes, what)
  if (nestsDeeper(text, MAX_DEPTH)) {
    throw new OciError('INVALID_IMAGE', `${what} is nested deeper than ${MAX_DEPTH} levels`)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new OciError('INVALID_IMAGE', `${what} is not valid JSON`, cause)
  }
  checkKeys(text, what)
  return value
}

export type JsonObject = Readonly<Record<string, unknown>>

/** Reads typed fields of one JSON object; null counts as absent (image-spec: optional fields may be null). */
export class Fields {
  readonly #object: JsonObject
  readonly #what: string

  /** @throws OciError INVALID_IMAGE where `value` is no object */
  constructor(value: unknown, what: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new OciError('INVALID_IMAGE', `${what} is not a JSON object`)
    }
    this.#object = { ...value }
    this.#what = what
  }

  has(key: string): boolean {
    return this.#get(key) !== undefined
  }

  string(key: string): string | null {
    const value = this.#get(key)
    if (value === undefined) return null
    if (typeof value === 'string') return value
    throw this.wrong(key, 'a string')
  }

  integer(key: string): number | null {
    const value = this.#get(key)
    if (value === undefined) return null
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    throw this.wrong(key, 'a whole number, 0 or more')
  }

  boolean(key: string): boolean {
    const value = this.#get(key)
    if (value === undefined) return false
    if (typeof value === 'boolean') return value
    throw this.wrong(key, 'true or false')
  }

  object(key: string): Fields | null {
    const value = this.#get(key)
    return value === undefined ? null : new Fields(value, `${this.#what}: ${key}`)
  }

  list(key: string): readonly unknown[] | null {
    const value = this.#get(key)
    if (value === undefined) return null
    if (isList(value)) return value
    throw this.wrong(key, 'a list')
  }

  strings(key: string): readonly string[] {
    return (this.list(key) ?? []).map((value) => {
      if (typeof value === 'string') return value
      throw this.wrong(key, 'a list of strings')
    })
  }

  /** Keys of an object whose values do not matter, sorted. */
  keys(key: string): readonly string[] {
    return this.object(key)?.ownKeys() ?? []
  }

  ownKeys(): readonly string[] {
    return Object.keys(this.#object).sort()
  }

  stringMap(key: string): Readonly<Record<string, string>> {
    const fields = this.object(key)
    if (fields === null) return {}
    const pairs = fields.ownKeys().map((name) => {
      const value = fields.string(name)
      if (value === null) throw this.wrong(key, 'an object of strings')
      return [name, value] as const
    })
    return Object.fromEntries(pairs)
  }

  wrong(key: string, expected: string): OciError {
    return new OciError('INVALID_IMAGE', `${this.#what}: ${key} must be ${expected}`)
  }

  // Private

  #get(key: string): unknown {
    const value = Object.hasOwn(this.#object, key) ? this.#object[key] : undefined
    return value === null ? undefined : value
  }
}

// Private

function decoded(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new OciError('INVALID_IMAGE', `${what} is not valid JSON`, cause)
  }
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value)
}

/** `text` is known to be valid JSON, so that strings and brackets are all there is to look at. */
function checkKeys(text: string, what: string): void {
  const open: (Set<string> | null)[] = []
  const tokens = /"(?:[^"\\]|\\.)*"(\s*:)?|[[\]{}]/g
  for (const [token, colon] of text.matchAll(tokens)) {
    if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : null)
    } else if (token === '}' || token === ']') {
      open.pop()
    } else if (colon !== undefined) {
      const key: unknown = JSON.parse(token.slice(0, token.length - colon.length))
      const keys = open.at(-1)
      if (keys === null || keys === undefined || typeof key !== 'string') continue
      if (keys.has(key)) {
        throw new OciError('INVALID_IMAGE', `${what} has the key ${JSON.stringify(key)} twice`)
      }
      keys.add(key)
    }
  }
}
