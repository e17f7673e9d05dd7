/**
 * Readers of JSON: each takes an unknown value and returns it typed, or throws ShapeError with the path of what is wrong. They
 * stand in for the contract's schemas where loading the schema library would cost more than the whole call. Unknown keys are kept.
 */

export type Reader<T> = (value: unknown, path: string) => T

export class ShapeError extends Error {
  override readonly name = 'ShapeError'
}

export const text: Reader<string> = (value, path) => {
  if (typeof value === 'string') return value
  throw wrong(path, 'text')
}

/** Text of a branded type, such as a name that the server has checked. */
export function branded<T extends string>(): Reader<T> {
  return (value, path) => text(value, path) as T
}

export const number: Reader<number> = (value, path) => {
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw wrong(path, 'a number')
}

export const flag: Reader<boolean> = (value, path) => {
  if (typeof value === 'boolean') return value
  throw wrong(path, 'true or false')
}

export const anything: Reader<unknown> = (value) => value

export function oneOf<const T extends string>(...values: readonly T[]): Reader<T> {
  return (value, path) => {
    const found = values.find((each) => each === value)
    if (found !== undefined) return found
    throw wrong(path, values.join(' or '))
  }
}

export function orNull<T>(reader: Reader<T>): Reader<T | null> {
  return (value, path) => (value === null ? null : reader(value, path))
}

export function list<T>(reader: Reader<T>): Reader<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw wrong(path, 'a list')
    value.forEach((item, index) => {
      reader(item, `${path}[${index}]`)
    })
    return value as T[]
  }
}

export function map<T>(reader: Reader<T>): Reader<Record<string, T>> {
  return (value, path) => {
    const found = record(value, path)
    for (const key of Object.keys(found)) reader(found[key], `${path}.${key}`)
    return found as Record<string, T>
  }
}

/** An object with at least these keys. Readers check and never convert, so the value itself is returned. */
export function object<T extends object>(fields: {
  readonly [K in keyof T]-?: Reader<T[K]>
}): Reader<T> {
  const keys = Object.keys(fields) as (keyof T & string)[]
  return (value, path) => {
    const found = record(value, path)
    for (const key of keys) fields[key](found[key], path === '' ? key : `${path}.${key}`)
    return found as T
  }
}

/** One of several objects, told apart by the text under `key`. */
export function tagged<T extends object>(
  key: string,
  variants: Readonly<Record<string, Reader<T>>>,
): Reader<T> {
  return (value, path) => {
    const tag = record(value, path)[key]
    const reader = typeof tag === 'string' ? variants[tag] : undefined
    if (reader === undefined) {
      throw wrong(`${path}.${key}`, Object.keys(variants).join(' or '))
    }
    return reader(value, path)
  }
}

function record(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>
  }
  throw wrong(path, 'an object')
}

function wrong(path: string, expected: string): ShapeError {
  return new ShapeError(`${path === '' ? 'answer' : path}: expected ${expected}`)
}
