/** Reading JSON of unknown shape: what a cluster answers is never trusted to have the fields that it should have. */
export type Json = Readonly<Record<string, unknown>>

export function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value below a path of keys; undefined where any of them is missing. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  let found = value
  for (const key of path) {
    if (!isRecord(found)) return undefined
    found = found[key]
  }
  return found
}

/** '' where there is no text. */
export function textAt(value: unknown, ...path: readonly string[]): string {
  const found = at(value, ...path)
  return typeof found === 'string' ? found : ''
}

/** Null where there is no number. */
export function numberAt(value: unknown, ...path: readonly string[]): number | null {
  const found = at(value, ...path)
  return typeof found === 'number' ? found : null
}

/** Empty where there is no list. */
export function listAt(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const found = at(value, ...path)
  return Array.isArray(found) ? found : []
}

export function recordAt(value: unknown, ...path: readonly string[]): Json {
  const found = at(value, ...path)
  return isRecord(found) ? found : {}
}

/** Milliseconds since the epoch of an RFC 3339 time; null where there is none. */
export function timeAt(value: unknown, ...path: readonly string[]): number | null {
  const time = Date.parse(textAt(value, ...path))
  return Number.isNaN(time) ? null : time
}

/** The element of a list of records whose field `key` is `name`: conditions by type, container statuses by name. */
export function named(list: readonly unknown[], key: string, name: string): Json | null {
  const found = list.find((element) => textAt(element, key) === name)
  return isRecord(found) ? found : null
}
