import type { Document, Edit, Format, Leaf } from './document.ts'
import { flatten, unflatten } from './flat-metadata.ts'
import { scalar, textOf } from './scalar.ts'
import { SopsError } from './sops-error.ts'

/** `KEY=value` lines as sops reads them: no quotes, no trimming, no `export`; `\n` stands for a line break (stores/dotenv). */
export const dotenvFormat: Format = { name: 'dotenv', read }

const PREFIX = 'sops_'

function read(text: string): Document {
  const leaves: Leaf[] = []
  const metadata: [string, string][] = []
  const blocks: Edit[] = []
  const seen = new Set<string>()
  let comments: string[] = []
  for (const { line, start, next } of linesOf(text).filter((each) => each.line !== '')) {
    const isComment = line.startsWith('#')
    const equals = line.indexOf('=')
    if (!isComment && equals === -1) throw wrong(text, start, 'it is no KEY=value')
    const key = isComment ? '' : line.slice(0, equals)
    if (!isComment && key.startsWith(PREFIX)) {
      metadata.push([key.slice(PREFIX.length), unescaped(line.slice(equals + 1))])
      blocks.push({ start, end: next, text: '' })
      continue
    }
    if (!isComment && seen.has(key)) throw wrong(text, start, `the key ${key} stands twice`)
    if (isComment) comments.push(line.slice(1))
    leaves.push(leafOf({ text, start, end: start + line.length, next, key, comments }))
    if (isComment) comments = [...comments]
    else {
      seen.add(key)
      comments = []
    }
  }
  const append = (lines: readonly string[]): Edit => appended(text, lines)
  return {
    leaves,
    metadata: metadata.length === 0 ? null : unflatten(metadata),
    withoutMetadata: blocks,
    withMetadata: (object) => [
      append(flatten(object).map(([key, value]) => `${PREFIX}${key}=${escaped(value)}`)),
    ],
    add: ([key, more], value) => {
      if (typeof key === 'string' && more === undefined && /^[^=#\n][^=\n]*$/.test(key)) {
        return append([`${key}=${escaped(textOf(value))}`])
      }
      throw new SopsError('UNSUPPORTED', 'a dotenv file holds plain names only')
    },
  }
}

function leafOf(read: {
  readonly text: string
  readonly start: number
  readonly end: number
  readonly next: number
  /** Empty for a comment. */
  readonly key: string
  readonly comments: readonly string[]
}): Leaf {
  const { text, start, end, next, key, comments } = read
  const isComment = text[start] === '#'
  const from = start + (isComment ? 1 : key.length + 1)
  const written = text.slice(from, end)
  const way = isComment ? [] : [key]
  return {
    path: way,
    at: way,
    comments: [comments],
    scalar: isComment ? scalar('comment', written) : scalar('str', unescaped(written)),
    start: from,
    end,
    write: (value) => escaped(textOf(value)),
    ...(isComment ? {} : { item: { start, end: next, first: start, last: end } }),
  }
}

export interface Line {
  readonly line: string
  readonly start: number
  /** Where the next line starts. */
  readonly next: number
}

export function linesOf(text: string): Line[] {
  const lines: Line[] = []
  let start = 0
  while (start < text.length) {
    const newline = text.indexOf('\n', start)
    const end = newline === -1 ? text.length : newline
    const next = newline === -1 ? end : end + 1
    lines.push({ line: text.slice(start, end), start, next })
    start = next
  }
  return lines
}

function appended(text: string, lines: readonly string[]): Edit {
  const before = text === '' || text.endsWith('\n') ? '' : '\n'
  return { start: text.length, end: text.length, text: `${before}${lines.join('\n')}\n` }
}

function escaped(text: string): string {
  return text.replaceAll('\n', '\\n')
}

function unescaped(text: string): string {
  return text.replaceAll('\\n', '\n')
}

function wrong(text: string, offset: number, message: string): SopsError {
  const line = text.slice(0, offset).split('\n').length
  return new SopsError('INVALID_DOCUMENT', `line ${line}: ${message}`)
}
