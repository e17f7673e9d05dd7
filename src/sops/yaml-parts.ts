import type { Edit, Leaf } from './document.ts'

/** Where a new key of a map goes. */
export interface YamlPlace {
  readonly indent: number
  readonly end: number
}

/** The lines of an item; nothing where it shares its first line with others. @param first where it begins */
export function itemAt(text: string, first: number, end: number): Pick<Leaf, 'item'> {
  const start = text.lastIndexOf('\n', first - 1) + 1
  if (text.slice(start, first).trim() !== '') return {}
  return { item: { start, end: lineEnd(text, end), first, last: end } }
}

/** Behind the line break of the line of a position. */
export function lineEnd(text: string, position: number): number {
  const newline = text.indexOf('\n', position)
  return newline === -1 ? text.length : newline + 1
}

/** What both readers of YAML tell of a text. */
export interface YamlParts {
  readonly leaves: readonly Leaf[]
  /** Where a new key of each map goes, by the JSON of its place. */
  readonly maps: ReadonlyMap<string, YamlPlace>
  /** The documents of a stream. */
  readonly places: readonly YamlDocument[]
}

export interface YamlDocument {
  readonly end: number
  readonly indent: number
  /** The `sops` block as plain data; null where there is none. */
  readonly metadata: unknown
  /** Takes that block out. */
  readonly block: Edit | null
}

/** The `sops` block: the line of its key and every deeper line below it. */
export function blockAt(text: string, key: number, indent: number): Edit {
  const start = text.lastIndexOf('\n', key - 1) + 1
  let end = start
  let position = lineEnd(text, key)
  end = position
  while (position < text.length) {
    const next = lineEnd(text, position)
    const line = text.slice(position, next)
    if (line.trim() !== '') {
      if (!line.startsWith(' '.repeat(indent + 1))) break
      end = next
    }
    position = next
  }
  return { start, end, text: '' }
}

/** The value of the key `sops`, empty where it has none. */
export function sopsOf(parsed: unknown): unknown {
  const fields: Readonly<Record<string, unknown>> =
    typeof parsed === 'object' && parsed !== null ? Object.fromEntries(Object.entries(parsed)) : {}
  const { sops } = fields
  return sops ?? {}
}

/** For people: from 1. */
export function lineAt(text: string, offset: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1))
    line++
  return line
}
