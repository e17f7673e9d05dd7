import { Parser, parse, type CST } from 'yaml'
import type { Document, Edit, Format, MetadataObject } from './document.ts'
import type { Scalar } from './scalar.ts'
import { SopsError } from './sops-error.ts'
import { yamlText } from './yaml-scalar.ts'
import { lineAt, YamlReader, type YamlPlace } from './yaml-reader.ts'

/** YAML, edited by position: whatever is neither a value nor the `sops` block stays byte for byte. */
export const yamlFormat: Format = { name: 'yaml', read }

/** Spaces per level of what sops writes. */
const INDENT = 4
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/

function read(text: string): Document {
  const control = text.search(CONTROL)
  if (control !== -1) {
    const line = lineAt(text, control)
    throw new SopsError('INVALID_DOCUMENT', `line ${line}: control characters are not allowed`)
  }
  const reader = new YamlReader(text)
  const places: Place[] = []
  let open: CST.Document | null = null
  const close = (end: number): void => {
    if (open !== null) places.push(readDocument(reader, open, text, end))
    open = null
  }
  for (const token of new Parser().parse(text)) {
    if (token.type === 'document') {
      close(startOf(token))
      open = token
    } else if (token.type === 'doc-end') {
      close(token.offset)
    } else if (token.type === 'error') {
      throw new SopsError(
        'INVALID_DOCUMENT',
        `line ${lineAt(text, token.offset)}: ${token.message}`,
      )
    } else if (token.type === 'comment') {
      reader.comment(token, { path: [], at: [], stack: [[]] })
    }
  }
  close(text.length)
  const [first] = places
  return {
    leaves: reader.leaves,
    metadata: first?.metadata ?? null,
    withoutMetadata: places.flatMap(({ block }) => block ?? []),
    withMetadata: (metadata, indent) => {
      const block = { metadata, unit: ' '.repeat(indent ?? INDENT) }
      return places.length === 0
        ? [insertion(text, { end: text.length, indent: 0 }, block)]
        : places.map((place) => insertion(text, place, block))
    },
    add: (path, value) => addition(text, reader, { path, value, root: places[0] }),
  }
}

interface Place {
  readonly end: number
  readonly indent: number
  readonly metadata: unknown
  readonly block: Edit | null
}

function readDocument(
  reader: YamlReader,
  document: CST.Document,
  text: string,
  end: number,
): Place {
  const level = { path: [], at: [], stack: [[]] }
  reader.comments(document.start, level)
  const value = document.value
  const scalarEnd = document.end ?? []
  if (value === undefined || (value.type === 'scalar' && value.source === '')) {
    reader.comments(scalarEnd, level)
    return { end, indent: 0, metadata: null, block: null }
  }
  if (value.type !== 'block-map') {
    const what = value.type === 'flow-collection' ? 'a flow collection ({…})' : 'no map'
    throw new SopsError(
      'UNSUPPORTED',
      `line ${lineAt(text, value.offset)}: the document is ${what}; it must be a block map`,
    )
  }
  const sops = reader.root(value)
  reader.comments(scalarEnd, level)
  if (sops === null) return { end, indent: value.indent, metadata: null, block: null }
  const block = blockAt(text, sops, value.indent)
  const parsed: unknown = metadataIn(text.slice(block.start, block.end))
  return { end, indent: value.indent, metadata: parsed, block }
}

/** The `sops` block: the line of its key and every deeper line below it. */
function blockAt(text: string, key: number, indent: number): Edit {
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

function metadataIn(block: string): unknown {
  let parsed: unknown
  try {
    parsed = parse(block, { schema: 'core', version: '1.2', logLevel: 'error' })
  } catch (cause) {
    throw new SopsError('INVALID_METADATA', 'the sops block is no YAML', cause)
  }
  const fields: Readonly<Record<string, unknown>> =
    typeof parsed === 'object' && parsed !== null ? Object.fromEntries(Object.entries(parsed)) : {}
  const { sops } = fields
  return sops ?? {}
}

function insertion(
  text: string,
  { end, indent }: Pick<Place, 'end' | 'indent'>,
  { metadata, unit }: { readonly metadata: MetadataObject; readonly unit: string },
): Edit {
  const lines = blockLines({ sops: metadata }, ' '.repeat(indent), unit)
  const before = end === 0 || text[end - 1] === '\n' ? '' : '\n'
  return { start: end, end, text: `${before}${lines.join('\n')}\n` }
}

/** Go's YAML reads any of this; it is written as sops writes it, long texts as literal blocks. */
function blockLines(value: MetadataObject, indent: string, unit: string): string[] {
  return Object.entries(value).flatMap(([key, each]) =>
    entryLines(`${indent}${key}:`, each, { indent, unit }),
  )
}

function entryLines(
  head: string,
  value: MetadataObject[string],
  { indent, unit }: { readonly indent: string; readonly unit: string },
): string[] {
  const deeper = indent + unit
  if (typeof value === 'string') return textLines(head, value, deeper)
  if (typeof value !== 'object') return [`${head} ${String(value)}`]
  if (isList(value)) {
    if (value.length === 0) return [`${head} []`]
    return [head, ...value.flatMap((item) => itemLines(item, deeper, unit))]
  }
  if (Object.keys(value).length === 0) return [`${head} {}`]
  return [head, ...blockLines(value, deeper, unit)]
}

function itemLines(item: MetadataObject[string], indent: string, unit: string): string[] {
  if (typeof item !== 'object' || isList(item)) return [`${indent}- ${JSON.stringify(item)}`]
  const [first = '{}', ...rest] = blockLines(item, `${indent}  `, unit)
  return [`${indent}- ${first.trimStart()}`, ...rest]
}

function textLines(head: string, value: string, indent: string): string[] {
  if (!value.includes('\n') || !/^[\x21-\x7e][\x20-\x7e\n]*$/.test(value)) {
    return [`${head} ${value.startsWith('ENC[') ? value : JSON.stringify(value)}`]
  }
  const ends = /\n*$/.exec(value)?.[0].length ?? 0
  const header = ends === 0 ? '|-' : ends === 1 ? '|' : '|+'
  const body = value.replace(/\n$/, '').split('\n')
  return [`${head} ${header}`, ...body.map((line) => (line === '' ? '' : indent + line))]
}

function isList(value: object): value is readonly MetadataObject[string][] {
  return Array.isArray(value)
}

interface Addition {
  readonly path: readonly (string | number)[]
  readonly value: Scalar
  readonly root: Place | undefined
}

function addition(text: string, reader: YamlReader, { path, value, root }: Addition): Edit {
  const keys = path.filter((part) => typeof part === 'string')
  if (keys.length !== path.length) {
    throw new SopsError('UNSUPPORTED', 'a list cannot grow by set; edit the file instead')
  }
  let depth = keys.length - 1
  let place: YamlPlace | undefined
  for (; depth > 0 && place === undefined; depth--) place = reader.mapAt(keys.slice(0, depth))
  if (place !== undefined) depth += 1
  const { indent, end } = place ?? { indent: root?.indent ?? 0, end: root?.end ?? text.length }
  const before = end === 0 || text[end - 1] === '\n' ? '' : '\n'
  const lines = keys.slice(depth).map((key, index, all) => {
    const column = indent + 2 * index
    const name = yamlText({ type: 'str', bytes: Buffer.from(key) }, { flow: true, block: null })
    const end =
      index === all.length - 1 ? ` ${yamlText(value, { flow: false, block: column + 2 })}` : ''
    return `${' '.repeat(column)}${name}:${end}`
  })
  return { start: end, end, text: `${before}${lines.join('\n')}\n` }
}

function startOf({ start, offset }: CST.Document): number {
  return start.find(({ type }) => type === 'doc-start')?.offset ?? offset
}

function lineEnd(text: string, position: number): number {
  const newline = text.indexOf('\n', position)
  return newline === -1 ? text.length : newline + 1
}
