/** A reader of the `sops` block as sops and we write it: maps, lists, values of one line and literal blocks. What it takes it reads as the YAML library does with the core schema. */
import { keyPattern, lineValue, STRANGE } from './plain-line.ts'

/** The block as plain data, `undefined` for what is not that plain. @param block whole lines, the first one with the key `sops` */
export function readPlainMetadata(block: string): unknown {
  if (STRANGE.test(block)) return undefined
  const lines = block.split('\n').map((text) => ({ text, indent: text.search(/[^ ]|$/) }))
  while (lines.at(-1)?.text === '') lines.pop()
  const reader = new MetadataReader(lines)
  try {
    return reader.read()
  } catch (error) {
    if (error === UNREADABLE) return undefined
    throw error
  }
}

interface Line {
  readonly text: string
  readonly indent: number
}

const UNREADABLE = new Error('not plain')

class MetadataReader {
  readonly #lines: readonly Line[]
  readonly #key = keyPattern()
  #next = 0

  constructor(lines: readonly Line[]) {
    this.#lines = lines
  }

  read(): unknown {
    const map = this.#map(this.#lines[0]?.indent ?? 0)
    if (this.#next < this.#lines.length) throw UNREADABLE
    return map
  }

  // Private

  /** @param indent where its keys stand; the first of them may do so behind a `-` */
  #map(indent: number): Readonly<Record<string, unknown>> {
    const entries = new Map<string, unknown>()
    for (let isFirst = true; ; isFirst = false) {
      const line = this.#lines[this.#next]
      if (line === undefined || (!isFirst && line.indent !== indent)) break
      this.#key.lastIndex = indent
      const key = this.#key.exec(line.text)?.[1]
      if (key === undefined || /^["']/.test(key) || NOT_TEXT.test(key) || entries.has(key))
        throw UNREADABLE
      this.#next += 1
      entries.set(key, this.#value(line.text.slice(indent + key.length + 1), indent))
    }
    return Object.fromEntries(entries)
  }

  #list(indent: number): unknown[] {
    const items: unknown[] = []
    for (;;) {
      const line = this.#lines[this.#next]
      if (line?.indent !== indent || !line.text.startsWith('- ', indent)) return items
      const first = indent + 2
      if (line.text[first] === ' ') throw UNREADABLE
      this.#key.lastIndex = first
      if (this.#key.test(line.text)) {
        items.push(this.#map(first))
      } else {
        this.#next += 1
        items.push(scalarOf(line.text.slice(first)))
      }
    }
  }

  /** @param indent of the key */
  #value(rest: string, indent: number): unknown {
    const source = rest.trimStart()
    if (source === '|' || source === '|-') return this.#literal(indent, source === '|')
    if (source !== '') return scalarOf(source)
    const line = this.#lines[this.#next]
    if (line === undefined || line.indent < indent) return null
    if (line.text.startsWith('- ', line.indent)) return this.#list(line.indent)
    return line.indent > indent ? this.#map(line.indent) : null
  }

  #literal(parent: number, keepsEnd: boolean): string {
    const indent = this.#lines[this.#next]?.indent ?? 0
    if (indent <= parent) throw UNREADABLE
    const texts: string[] = []
    for (let line = this.#lines[this.#next]; line !== undefined; line = this.#lines[this.#next]) {
      if (line.text !== '' && line.indent < indent) break
      texts.push(line.text.slice(indent))
      this.#next += 1
    }
    while (texts.at(-1) === '') texts.pop()
    return texts.join('\n') + (keepsEnd ? '\n' : '')
  }
}

const NOT_TEXT =
  /^(?:~|null|Null|NULL|[Tt]rue|TRUE|[Ff]alse|FALSE|[-+]?\d+|0o[0-7]+|0x[\da-fA-F]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?)$/

function scalarOf(source: string): unknown {
  if (source === '[]') return []
  const value = lineValue(source)
  if (value === null) throw UNREADABLE
  if (value.isQuoted || !NOT_TEXT.test(value.text)) return value.text
  if (/^(?:0|[1-9]\d{0,8})$/.test(value.text)) return Number(value.text)
  if (value.text === 'true' || value.text === 'false') return value.text === 'true'
  throw UNREADABLE
}
