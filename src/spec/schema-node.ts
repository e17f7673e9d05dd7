import type * as z from 'zod'
import type { Path } from './document.ts'

/** Schemas as a tree of keys, for suggestions and the documentation: wrappers (optional, default, pipe) looked through. */
export type SchemaNode =
  | { readonly kind: 'object'; readonly keys: Readonly<Record<string, z.core.$ZodType>> }
  | { readonly kind: 'map'; readonly value: z.core.$ZodType }
  | { readonly kind: 'list'; readonly element: z.core.$ZodType }
  | { readonly kind: 'value' }

export function schemaNode(schema: z.core.$ZodType): SchemaNode {
  const { def } = (schema as z.core.$ZodTypes)._zod
  switch (def.type) {
    case 'object':
      return { kind: 'object', keys: def.shape }
    case 'record':
      return { kind: 'map', value: def.valueType }
    case 'array':
      return { kind: 'list', element: def.element }
    case 'optional':
    case 'default':
    case 'prefault':
    case 'nullable':
      return schemaNode(def.innerType)
    case 'pipe':
      return schemaNode(def.in)
    default:
      return { kind: 'value' }
  }
}

/** Keys that the schema knows at this place; empty where it is no map with fixed keys. */
export function knownKeys(schema: z.core.$ZodType, path: Path): readonly string[] {
  let node = schemaNode(schema)
  for (const part of path) {
    const next = child(node, part)
    if (next === null) return []
    node = schemaNode(next)
  }
  return node.kind === 'object' ? Object.keys(node.keys) : []
}

/** Dotted paths below `path` that end in this key: 'health.check.timeout' for 'timeout' below a process. */
export function pathsTo(schema: z.core.$ZodType, path: Path, key: string): readonly string[] {
  let node = schemaNode(schema)
  for (const part of path) {
    const next = child(node, part)
    if (next === null) return []
    node = schemaNode(next)
  }
  return search(node, key, [], 4)
}

function search(node: SchemaNode, key: string, above: readonly string[], depth: number): string[] {
  if (node.kind !== 'object' || depth === 0) return []
  return Object.entries(node.keys).flatMap(([name, schema]) => [
    ...(name === key ? [[...above, name].join('.')] : []),
    ...search(schemaNode(schema), key, [...above, name], depth - 1),
  ])
}

function child(node: SchemaNode, part: string | number): z.core.$ZodType | null {
  if (node.kind === 'object') return node.keys[String(part)] ?? null
  if (node.kind === 'map') return node.value
  return node.kind === 'list' ? node.element : null
}
