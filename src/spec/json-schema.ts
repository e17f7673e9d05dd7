import * as z from 'zod'
import { appFileSchema, resolvedSchema } from './app-file-schema.ts'
import { formatDuration, formatSize } from './quantity.ts'

/** The parts of a JSON Schema that this folder reads and writes. */
export interface JsonSchema {
  readonly [keyword: string]: unknown
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly examples?: readonly unknown[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly additionalProperties?: boolean | JsonSchema
  readonly items?: JsonSchema
}

/** JSON Schema (2020-12) of the app file for editors: docs/fairway.schema.json. */
export function appFileJsonSchema(): JsonSchema {
  const outside = toJson(appFileSchema)
  const overlay = without(toJson(resolvedSchema).properties ?? {}, ['version', 'name'])
  const environment = { type: 'object', properties: overlay, additionalProperties: false }
  const properties = {
    ...outside.properties,
    environments: {
      ...outside.properties?.['environments'],
      additionalProperties: nullable(patchOf(environment)),
    },
  }
  return withExtensions({ ...outside, title: 'Fairway app file', properties })
}

/** Keys of the file with one environment merged in, for the reference. */
export function resolvedJsonSchema(): JsonSchema {
  return toJson(resolvedSchema)
}

function toJson(schema: z.ZodType): JsonSchema {
  const made = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      // Zod leaves both out where a value is transformed; here they are texts as people write them.
      const { examples } = z.globalRegistry.get(zodSchema) ?? {}
      if (Array.isArray(examples)) jsonSchema.examples = examples
      const { def } = zodSchema._zod
      if (def.type === 'default') jsonSchema.default = written(def.defaultValue, jsonSchema.pattern)
      if (def.type === 'prefault') delete jsonSchema.default
    },
  })
  return made as JsonSchema
}

/** 60000 as '60s' where durations are written, bytes as '512Mi' where sizes are. */
function written(value: unknown, pattern: string | undefined): unknown {
  if (typeof value !== 'number' || pattern === undefined) return value
  if (pattern.includes('ms|s|m|h|d')) return value === 60_000 ? '60s' : formatDuration(value)
  return pattern.includes('Ki|Mi') ? formatSize(value) : value
}

/** As RFC 7386 allows it in an overlay: nothing is required, null deletes. */
function patchOf(schema: JsonSchema): JsonSchema {
  const rest = without(schema, ['required', 'default'])
  const { properties, additionalProperties } = schema
  return {
    ...rest,
    ...(properties === undefined ? {} : { properties: mapValues(properties, patchValue) }),
    ...(typeof additionalProperties === 'object'
      ? { additionalProperties: patchValue(additionalProperties) }
      : {}),
  }
}

function patchValue(schema: JsonSchema): JsonSchema {
  return nullable(patchOf(schema))
}

function nullable(schema: JsonSchema): JsonSchema {
  const { description, ...rest } = schema
  return { ...(description === undefined ? {} : { description }), anyOf: [rest, { type: 'null' }] }
}

/** `x-` keys beside known ones, at every level. */
function withExtensions(schema: JsonSchema): JsonSchema {
  const walked = mapValues(schema, (value) => walk(value))
  if (schema.properties === undefined || schema.additionalProperties !== false) return walked
  return { ...walked, patternProperties: { '^x-': {} } }
}

function walk(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(walk)
  return isSchema(value) ? withExtensions(value) : value
}

function without<Value>(
  object: Readonly<Record<string, Value>>,
  keys: readonly string[],
): Record<string, Value> {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)))
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function mapValues<From, To>(
  object: Readonly<Record<string, From>>,
  change: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]))
}
