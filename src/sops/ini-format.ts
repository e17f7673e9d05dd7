import type { Document, Edit, Format, Leaf } from './document.ts'
import { linesOf, type Line } from './dotenv-format.ts'
import { flatten, unflatten } from './flat-metadata.ts'
import { scalar, textOf, type Scalar } from './scalar.ts'
import { SopsError } from './sops-error.ts'

/** INI as gopkg.in/ini.v1 reads it, without what it reads but sops cannot keep: inline comments, continued lines, quoted keys. */
export const iniFormat: Format = { name: 'ini', read: (text) => new IniReader(text).document() }

const DEFAULT = 'DEFAULT'

class IniReader {
  readonly #text: string
  readonly #leaves: Leaf[] = []
  readonly #metadata: [string, string][] = []
  readonly #blocks: Edit[] = []
  readonly #ends = new Map<string, number>()
  #seen = new Set<string>()
  #section = DEFAULT
  #comment: { readonly start: number; readonly end: number; readonly lines: string[] } | null = null
  #inMetadata: { readonly start: number } | null = null
  #until = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): Document {
    const text = this.#text
    for (const line of linesOf(text)) if (line.start >= this.#until) this.#line(line)
    this.#flushComment()
    this.#closeMetadata(text.length)
    return {
      leaves: this.#leaves,
      metadata: this.#metadata.length === 0 ? null : unflatten(this.#metadata),
      withoutMetadata: this.#blocks,
      withMetadata: (object) => {
        const lines = flatten(object).map(
          ([key, value]) => `${key} = ${value.replaceAll('\n', '\\n')}`,
        )
        const before = text === '' || text.endsWith('\n') ? '' : '\n'
        return [
          { start: text.length, end: text.length, text: `${before}[sops]\n${lines.join('\n')}\n` },
        ]
      },
      add: (path, value) => this.#addition(path, value),
    }
  }

  #line({ line, start, next }: Line): void {
    const words = line.trim()
    const first = start + line.indexOf(words)
    if (words === '') return
    if (/^[#;]/.test(words)) {
      this.#addComment(words, first)
      return
    }
    if (words.startsWith('[')) {
      this.#open(words, start, next)
      return
    }
    const match = /^([^=:"`'\s[\]][^=:"`]*?)\s*[=:]\s*/.exec(words)
    const key = match?.[1]
    if (key === undefined || key === '-') throw this.#wrong(start, 'it is no key = value')
    const from = first + (match?.[0].length ?? 0)
    const { value, end } = this.#value(from, start + line.length)
    if (this.#inMetadata !== null) {
      this.#metadata.push([key, value.replaceAll('\\n', '\n')])
      return
    }
    if (this.#seen.has(key)) throw this.#wrong(start, `the key ${key} stands twice`)
    this.#seen.add(key)
    const comments = this.#flushComment()
    this.#until = Math.max(next, end)
    const after = this.#text.indexOf('\n', end)
    const itemEnd = after === -1 ? this.#text.length : after + 1
    this.#ends.set(this.#section, itemEnd)
    this.#leaves.push({
      path: [this.#section, key],
      at: [this.#section, key],
      comments,
      scalar: scalar('str', value),
      start: from,
      end,
      write: iniText,
      item: { start, end: itemEnd, first, last: end },
    })
  }

  #addComment(words: string, start: number): void {
    const end = start + words.length
    if (this.#inMetadata !== null) return
    if (this.#comment === null) this.#comment = { start, end, lines: [words] }
    else this.#comment = { start: this.#comment.start, end, lines: [...this.#comment.lines, words] }
  }

  #open(words: string, start: number, next: number): void {
    const name = /^\[([^\]"`]+)\]$/.exec(words)?.[1]?.trim()
    if (name === undefined || name === '') throw this.#wrong(start, 'it is no [section]')
    if (name === DEFAULT && this.#leaves.length > 0)
      throw this.#wrong(start, 'DEFAULT must be the first section')
    this.#closeMetadata(start)
    if (name === 'sops') {
      this.#flushComment()
      this.#inMetadata = { start }
      return
    }
    this.#section = name
    this.#seen = new Set()
    this.#ends.set(name, next)
    this.#flushComment()
  }

  #closeMetadata(end: number): void {
    if (this.#inMetadata !== null)
      this.#blocks.push({ start: this.#inMetadata.start, end, text: '' })
    this.#inMetadata = null
  }

  /** All comment lines before a key or section are one comment, as sops joins them. */
  #flushComment(): readonly (readonly string[])[] {
    const comment = this.#comment
    this.#comment = null
    if (comment === null) return []
    const joined = comment.lines.join('\n')
    const lead = (joined.startsWith(';') ? /^[; ]+/ : /^[# ]+/).exec(joined)?.[0] ?? ''
    const text = joined.slice(lead.length)
    this.#leaves.push({
      path: [this.#section],
      at: [this.#section],
      comments: [[], [text]],
      scalar: scalar('comment', text),
      start: comment.start + lead.length,
      end: comment.end,
      write: textOf,
    })
    return [[], [text]]
  }

  #value(from: number, lineEnd: number): { readonly value: string; readonly end: number } {
    for (const quote of ['"""', '`']) {
      if (!this.#text.startsWith(quote, from)) continue
      const close = this.#text.indexOf(quote, from + quote.length)
      if (close === -1) throw this.#wrong(from, `${quote} is not closed`)
      return { value: this.#text.slice(from + quote.length, close), end: close + quote.length }
    }
    const raw = this.#text.slice(from, lineEnd).trimEnd()
    if (/[#;]/.test(raw))
      throw this.#wrong(from, 'a comment behind a value is not supported; put it on a line before')
    if (raw.endsWith('\\')) throw this.#wrong(from, 'a continued line is not supported')
    const end = from + raw.length
    const quoted = raw.length >= 2 && /^(["'])(?:(?!\1).)*\1$/.test(raw)
    return { value: quoted ? raw.slice(1, -1) : raw, end }
  }

  #addition(path: readonly (string | number)[], value: Scalar): Edit {
    const [section, key, more] = path
    if (typeof section !== 'string' || typeof key !== 'string' || more !== undefined) {
      throw new SopsError('UNSUPPORTED', 'a key of an INI file is named section.key')
    }
    const end = this.#ends.get(section)
    const at = end ?? this.#text.length
    const before = at === 0 || this.#text[at - 1] === '\n' ? '' : '\n'
    const head = end === undefined ? `[${section}]\n` : ''
    return { start: at, end: at, text: `${before}${head}${key} = ${iniText(value)}\n` }
  }

  #wrong(offset: number, message: string): SopsError {
    const line = this.#text.slice(0, offset).split('\n').length
    return new SopsError('INVALID_DOCUMENT', `line ${line}: ${message}`)
  }
}

/** @throws SopsError UNSUPPORTED for a text that no quoting of INI can hold */
function iniText(value: Scalar): string {
  const text = textOf(value)
  if (value.type === 'comment') return text
  if (/[\n\r`]/.test(text)) {
    if (text.includes('"""') || text.endsWith('"')) {
      throw new SopsError('UNSUPPORTED', 'INI cannot hold a value of several lines with """ in it')
    }
    return `"""${text}"""`
  }
  return /[#;]|^["'\s]|["'\s]$|\\$/.test(text) ? `\`${text}\`` : text
}
