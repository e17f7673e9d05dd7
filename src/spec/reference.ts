import { resolvedJsonSchema, type JsonSchema } from './json-schema.ts'
import { isLaterKey } from './later-keys.ts'

/** One key of the app file; `<name>` stands for a name that people choose. */
export interface ReferenceRow {
  readonly key: string
  readonly type: string
  readonly default: string
  readonly example: string
  readonly description: string
  /** Accepted by the format, refused by every engine so far. */
  readonly later: boolean
}

export function referenceRows(): readonly ReferenceRow[] {
  return rowsOf(resolvedJsonSchema(), [])
}

/** The tables of docs/app-file.md, one per top-level key. */
export function referenceMarkdown(): string {
  const groups = Map.groupBy(referenceRows(), ({ key }) => key.split('.')[0] ?? '')
  return [...groups].map(([title, rows]) => `### ${title}\n\n${table(rows)}`).join('\n\n')
}

function rowsOf(schema: JsonSchema, above: readonly string[]): readonly ReferenceRow[] {
  const named = Object.entries(schema.properties ?? {})
  const { additionalProperties } = schema
  const unnamed: [string, JsonSchema][] =
    typeof additionalProperties === 'object' ? [['<name>', additionalProperties]] : []
  return [...named, ...unnamed].flatMap(([name, child]) => {
    const path = [...above, name]
    const row = rowOf(path, child)
    const choices = child['anyOf']
    const inner = Array.isArray(choices)
      ? choices.flatMap((choice: JsonSchema) => rowsOf(choice, path))
      : rowsOf(child, path)
    return row.description === '' ? inner : [row, ...inner]
  })
}

function rowOf(path: readonly string[], schema: JsonSchema): ReferenceRow {
  return {
    key: path.join('.'),
    type: typeOf(schema),
    default: schema.default === undefined ? '' : code(schema.default),
    example: schema.examples?.[0] === undefined ? '' : code(schema.examples[0]),
    description: schema.description ?? '',
    later: isLaterKey(path),
  }
}

function typeOf(schema: JsonSchema): string {
  const values = schema['enum']
  if (Array.isArray(values)) return values.map((value) => code(value)).join(', ')
  if (schema['const'] !== undefined) return code(schema['const'])
  if (schema['anyOf'] !== undefined) return 'text, number, true or false, secret'
  const pattern = typeof schema['pattern'] === 'string' ? schema['pattern'] : ''
  if (pattern.includes('ms|s|m|h|d')) return 'duration'
  if (pattern.includes('Ki|Mi')) return 'size'
  const words: Readonly<Record<string, string>> = {
    string: 'text',
    number: 'number',
    integer: 'whole number',
    boolean: 'true or false',
    object: 'map',
    array: 'list',
  }
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? [])
  return types.map((type) => words[type] ?? type).join(' or ')
}

function code(value: unknown): string {
  const text = typeof value === 'string' ? value : flow(value)
  return `\`${text}\``
}

/** JSON as people write it in YAML. */
function flow(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll(/"([A-Za-z][\w./-]*)":/g, '$1: ')
    .replaceAll(/"([A-Za-z][\w./-]*)"/g, '$1')
    .replaceAll(',', ', ')
}

function table(rows: readonly ReferenceRow[]): string {
  const lines = rows.map(({ key, type, default: initial, example, description, later }) => {
    const text = `${description}${later ? ' _Later._' : ''}`
    return `| \`${key}\` | ${[type, initial, example, text].map(cell).join(' | ')} |`
  })
  return ['| key | type | default | example | |', '|---|---|---|---|---|', ...lines].join('\n')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
