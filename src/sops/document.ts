import type { Scalar } from './scalar.ts'

/** A value or comment of a document and where it stands. */
export interface Leaf {
  /** Keys on the way, without list indices: what selectors look at and what the cipher authenticates. */
  readonly path: readonly string[]
  /** The same way with list indices, for people: `servers[0].password`. */
  readonly at: readonly (string | number)[]
  /** Comments in force here, one list per level of nesting, nearest last (sops.go walkBranch). */
  readonly comments: readonly (readonly string[])[]
  /** As it stands in the text; an encrypted value is a string (or comment) here. */
  readonly scalar: Scalar
  readonly start: number
  readonly end: number
  /** The text that stands for another value in this place. */
  readonly write: (value: Scalar) => string
  /** All of the text that goes where the key goes; absent where it cannot be taken out alone. */
  readonly item?: Item
}

/** Whole lines, where the format has lines, and the item itself without indentation and line break. */
export interface Item {
  readonly start: number
  readonly end: number
  readonly first: number
  readonly last: number
}

export interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** A text, read: leaves in the order of the MAC, and where the `sops` block stands or would stand. */
export interface Document {
  readonly leaves: readonly Leaf[]
  /** The `sops` block as plain data; null in a plain document. */
  readonly metadata: unknown
  /** Takes the `sops` block out; empty in a plain document. */
  readonly withoutMetadata: readonly Edit[]
  /** Puts a `sops` block into a plain document. @param indent spaces per level; null: as sops, or as the document has it */
  readonly withMetadata: (metadata: MetadataObject, indent: number | null) => readonly Edit[]
  /** Adds a key that is not there yet. @throws SopsError UNSUPPORTED where this place cannot take one */
  readonly add: (path: readonly (string | number)[], value: Scalar) => Edit
}

export interface MetadataObject {
  readonly [key: string]: MetadataValue
}
export type MetadataValue = string | number | boolean | MetadataObject | readonly MetadataValue[]

export type FormatName = 'yaml' | 'json' | 'dotenv' | 'ini' | 'binary'

export interface Format {
  readonly name: FormatName
  /** Reads an encrypted document, or a plain one; a library that is only sometimes needed is loaded then. @throws SopsError INVALID_DOCUMENT, UNSUPPORTED */
  readonly read: (text: string) => Document | Promise<Document>
}

/** The text with all edits made. They may come in any order and must not overlap. */
export function edited(text: string, edits: readonly Edit[]): string {
  const parts: string[] = []
  let position = 0
  for (const { start, end, text: replacement } of edits.toSorted(
    (a, b) => a.start - b.start || a.end - b.end,
  )) {
    parts.push(text.slice(position, start), replacement)
    position = end
  }
  parts.push(text.slice(position))
  return parts.join('')
}

export function sameWay(
  one: readonly (string | number)[],
  other: readonly (string | number)[],
): boolean {
  return one.length === other.length && one.every((part, index) => part === other[index])
}
