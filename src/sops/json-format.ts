import type { Document, Edit, Format, Leaf, MetadataObject } from './document.ts'
import { floatLiteral, floatText, isInt64, NULL, scalar, textOf, type Scalar } from './scalar.ts'
import { SopsError } from './sops-error.ts'

/** JSON, edited by position; whole numbers keep 64 bits. */
export const jsonFormat: Format = { name: 'json', read: readJson }

/** @throws SopsError INVALID_DOCUMENT, UNSUPPORTED */
export function readJson(text: string): Document {
  return new JsonReader(text).document()
}

const MAX_DEPTH = 500
const SPACE = /[ \t\n\r]*/y
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
const WORD = /true|false|null/y

interface Member {
  readonly name: string
  readonly start: number
  readonly end: number
}

interface Inside {
  readonly path: readonly string[]
  readonly at: readonly (string | number)[]
}

/** A value as JSON, as Go's encoder writes it. */
export function jsonText(value: Scalar): string {
  const text = textOf(value)
  if (value.type === 'bool') return text === 'True' ? 'true' : 'false'
  if (value.type === 'null') return 'null'
  if (value.type === 'int') return text
  if (value.type === 'float' && /^-?[\d.]+$/.test(text)) return floatLiteral(text)
  return JSON.stringify(text).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

class JsonReader {
  readonly #text: string
  readonly #leaves: Leaf[] = []
  readonly #members = new Map<string, readonly Member[]>()
  readonly #ends = new Map<string, number>()
  #position = 0
  #metadata: unknown = null

  constructor(text: string) {
    this.#text = text
  }

  document(): Document {
    this.#space()
    if (this.#text[this.#position] !== '{') throw this.#wrong('the document must be an object')
    this.#object({ path: [], at: [] }, 0)
    this.#space()
    if (this.#position !== this.#text.length)
      throw this.#wrong('there is more text behind the object')
    return {
      leaves: this.#leaves,
      metadata: this.#metadata,
      withoutMetadata: this.#metadata === null ? [] : [this.#without('sops', [])],
      withMetadata: (metadata, indent) => [this.#insertion([], 'sops', metadata, indent)],
      add: (path, value) => this.#addition(path, value),
    }
  }

  #value(inside: Inside, depth: number, item?: Leaf['item']): void {
    if (depth > MAX_DEPTH) throw this.#wrong('it is nested too deeply')
    const start = this.#position
    const first = this.#text[start]
    if (first === '{') {
      this.#object(inside, depth)
      return
    }
    if (first === '[') {
      this.#array(inside, depth)
      return
    }
    const value = this.#scalar()
    this.#leaves.push({
      ...inside,
      comments: [],
      scalar: value,
      start,
      end: this.#position,
      write: jsonText,
      ...(item === undefined ? {} : { item }),
    })
  }

  #object(inside: Inside, depth: number): void {
    const members: Member[] = []
    const seen = new Set<string>()
    this.#list('}', () => {
      const start = this.#position
      const name = this.#string()
      if (seen.has(name)) throw this.#wrong(`the key ${JSON.stringify(name)} stands twice`)
      seen.add(name)
      this.#space()
      this.#expect(':')
      this.#space()
      if (name === 'sops' && inside.at.length === 0) this.#readMetadata()
      else this.#value({ path: [...inside.path, name], at: [...inside.at, name] }, depth + 1)
      members.push({ name, start, end: this.#position })
    })
    this.#members.set(JSON.stringify(inside.at), members)
    this.#ends.set(JSON.stringify(inside.at), this.#position - 1)
    for (const { name, start } of members) this.#giveItem(inside, name, start)
  }

  /** What `unset` takes out is known only once the whole object is read. */
  #giveItem({ at }: Inside, name: string, start: number): void {
    const index = this.#leaves.findIndex(
      (leaf) => leaf.start > start && leaf.at.length === at.length + 1 && leaf.at.at(-1) === name,
    )
    const leaf = this.#leaves[index]
    if (leaf === undefined) return
    const { start: from, end } = this.#without(name, at)
    this.#leaves[index] = { ...leaf, item: { start: from, end, first: start, last: leaf.end } }
  }

  #array(inside: Inside, depth: number): void {
    let index = 0
    this.#list(']', () => {
      this.#value({ ...inside, at: [...inside.at, index] }, depth + 1)
      index += 1
    })
  }

  #list(end: '}' | ']', one: () => void): void {
    this.#position += 1
    this.#space()
    if (this.#text[this.#position] === end) {
      this.#position += 1
      return
    }
    for (;;) {
      one()
      this.#space()
      if (this.#text[this.#position] === end) break
      this.#expect(',')
      this.#space()
    }
    this.#position += 1
  }

  #readMetadata(): void {
    const start = this.#position
    const before = this.#leaves.length
    this.#value({ path: ['sops'], at: ['sops'] }, 1)
    this.#leaves.splice(before)
    this.#metadata = JSON.parse(this.#text.slice(start, this.#position)) ?? {}
  }

  #scalar(): Scalar {
    if (this.#text[this.#position] === '"') return scalar('str', this.#string())
    const word = this.#match(WORD)
    if (word === 'null') return NULL
    if (word !== null) return scalar('bool', word === 'true' ? 'True' : 'False')
    const number = this.#match(NUMBER)
    if (number === null) throw this.#wrong('a value was expected')
    if (/^-?\d+$/.test(number) && isInt64(BigInt(number)))
      return scalar('int', String(BigInt(number)))
    const value = Number(number)
    if (!Number.isFinite(value)) throw this.#wrong('a number is too large')
    return scalar('float', floatText(value))
  }

  #string(): string {
    const raw = this.#match(STRING)
    if (raw === null) throw this.#wrong('a string was expected')
    const text: unknown = JSON.parse(raw)
    if (typeof text === 'string' && text.isWellFormed()) return text
    throw this.#wrong('a string holds half a character (a lone surrogate)')
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#position
    const found = pattern.exec(this.#text)?.[0]
    if (found === undefined) return null
    this.#position += found.length
    return found
  }

  #space(): void {
    this.#match(SPACE)
  }

  #expect(char: string): void {
    if (this.#text[this.#position] !== char)
      throw this.#wrong(`${JSON.stringify(char)} was expected`)
    this.#position += 1
  }

  /** A member with one comma: the one before it, or, for the first one, the one behind. */
  #without(name: string, at: readonly (string | number)[]): Edit {
    const members = this.#members.get(JSON.stringify(at)) ?? []
    const index = members.findIndex((member) => member.name === name)
    const own = members[index]
    const previous = members[index - 1]
    const next = members[index + 1]
    const start = previous?.end ?? own?.start ?? 0
    const end = previous === undefined ? (next?.start ?? own?.end ?? 0) : (own?.end ?? 0)
    return { start, end, text: '' }
  }

  #insertion(
    at: readonly (string | number)[],
    name: string,
    value: MetadataObject | Scalar,
    spaces: number | null = null,
  ): Edit {
    const members = this.#members.get(JSON.stringify(at)) ?? []
    const close = this.#ends.get(JSON.stringify(at)) ?? 0
    const first = members[0]
    const last = members.at(-1)
    const lead =
      first === undefined ? '' : (/\s*$/.exec(this.#text.slice(0, first.start))?.[0] ?? '')
    const indent = lead.split('\n').at(-1) ?? ''
    const own = spaces === null ? '\t' : ' '.repeat(spaces)
    const unit = lead.includes('\n') && indent !== '' ? indent : own
    const body = isScalar(value) ? jsonText(value) : goJson(value, unit)
    const text = `${JSON.stringify(name)}: ${body}`
    if (last === undefined) return { start: close, end: close, text: `\n${unit}${text}\n` }
    return { start: last.end, end: last.end, text: `,${lead === '' ? ' ' : lead}${text}` }
  }

  #addition(path: readonly (string | number)[], value: Scalar): Edit {
    const name = path.at(-1)
    const parent = path.slice(0, -1)
    if (typeof name === 'string' && this.#ends.has(JSON.stringify(parent))) {
      return this.#insertion(parent, name, value)
    }
    throw new SopsError(
      'UNSUPPORTED',
      'set adds a key to an object that is there; edit the file instead',
    )
  }

  #wrong(message: string): SopsError {
    const line = this.#text.slice(0, this.#position).split('\n').length
    return new SopsError('INVALID_DOCUMENT', `line ${line}: ${message}`)
  }
}

function goJson(value: MetadataObject, unit: string): string {
  return JSON.stringify(value, null, unit).replaceAll('\n', `\n${unit}`)
}

function isScalar(value: MetadataObject | Scalar): value is Scalar {
  return Buffer.isBuffer(value['bytes' as keyof typeof value])
}
