/**
 * A reader of the YAML that most files are: block maps and lists of values that stand on one line each, with comments on lines of their own or behind values. What it takes it reads exactly as
 * `yaml-reader.ts` does with the YAML library (plain-yaml.test.ts holds it to that), many times faster and without loading that; of everything else it says so and the library reads it.
 */
import type { Leaf } from './document.ts'
import { NULL, scalar, textOf } from './scalar.ts'
import { SopsError } from './sops-error.ts'
import { keyPattern, lineValue, STRANGE } from './plain-line.ts'
import { plainScalar, yamlText } from './yaml-scalar.ts'
import { readPlainMetadata } from './plain-metadata.ts'
import { blockAt, itemAt, lineEnd, sopsOf, type YamlParts, type YamlPlace } from './yaml-parts.ts'

/** A map or list that is being read. */
interface Frame {
  readonly kind: 'map' | 'list'
  readonly indent: number
  readonly path: readonly string[]
  readonly at: readonly (string | number)[]
  /** Names of a map so far. */
  readonly names: Set<string>
  /** Of a list: items so far. */
  count: number
  /** Comments in force, of this level alone. */
  comments: string[]
}

/** `key:` whose value did not come yet. */
interface Pending {
  readonly name: string
  readonly first: number
  readonly colon: number
}

/** Null for what is not this plain. Control characters are not looked for. @throws nothing: what is wrong with a text, the library says */
export function readPlainYaml(text: string): YamlParts | null {
  const plain = STRANGE.test(text) ? null : readable(() => new PlainReader(text).read())
  if (plain === null) return null
  const { leaves, maps, indent, sops } = plain
  const place = { end: text.length, indent }
  if (sops === null) return { leaves, maps, places: [{ ...place, metadata: null, block: null }] }
  const block = blockAt(text, sops, indent)
  const metadata = readPlainMetadata(text.slice(block.start, block.end))
  if (metadata === undefined) return null
  return { leaves, maps, places: [{ ...place, metadata: sopsOf(metadata), block }] }
}

function readable<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    // A number that is too large, text that is not UTF-8.
    if (error instanceof SopsError || error === UNREADABLE) return null
    throw error
  }
}

interface Plain extends Pick<YamlParts, 'leaves' | 'maps'> {
  /** Indentation of the top map. */
  readonly indent: number
  /** Where the key `sops` stands; null where there is none. */
  readonly sops: number | null
}

const UNREADABLE = new Error('not plain')

class PlainReader {
  readonly #text: string
  readonly #leaves: Leaf[] = []
  readonly #maps = new Map<string, YamlPlace>()
  readonly #frames: Frame[] = []
  #pending: Pending | null = null
  /** Comments on lines of their own that wait for the line after them: it says whose they are. */
  #waiting: { readonly start: number; readonly indent: number; readonly text: string }[] = []
  #end = 0
  #sops: number | null = null
  #inSops = false
  #isSopsEmpty = true
  readonly #key = keyPattern()

  constructor(text: string) {
    this.#text = text
  }

  read(): Plain | null {
    const text = this.#text
    for (let start = 0; start < text.length;) {
      const newline = text.indexOf('\n', start)
      const end = newline === -1 ? text.length : newline
      let first = start
      while (text.charCodeAt(first) === 32) first++
      if (first < end) this.#line(start, first, end)
      start = end + 1
    }
    const [root] = this.#frames
    if (root === undefined || this.#waiting.length > 0) return null
    this.#closeTo(-1)
    return { leaves: this.#leaves, maps: this.#maps, indent: root.indent, sops: this.#sops }
  }

  // Private

  #line(start: number, first: number, end: number): void {
    const indent = first - start
    if (this.#inSops && indent > (this.#frames[0]?.indent ?? 0)) {
      this.#isSopsEmpty = false
      return
    }
    if (this.#inSops && this.#text[first] === '-') throw UNREADABLE
    // Of a key without a value the library takes comments behind it for its own.
    if (this.#inSops && this.#isSopsEmpty && this.#text[first] === '#') throw UNREADABLE
    this.#inSops = false
    if (this.#text[first] === '#') this.#comment(first, indent, end)
    else if (this.#text[first] === '-') this.#listItem(first, indent, end)
    else this.#entry(first, indent, end)
  }

  #comment(first: number, indent: number, end: number): void {
    const text = this.#text.slice(first + 1, end)
    if (this.#frames.length > 0) this.#waiting.push({ start: first + 1, indent, text })
    else if (indent > 0) throw UNREADABLE
    else this.#commentLeaf({ start: first + 1, text }, [], [], [[text]])
  }

  #listItem(first: number, indent: number, end: number): void {
    if (this.#text[first + 1] !== ' ') throw UNREADABLE
    const list = this.#frameFor('list', indent)
    let inner = first + 2
    while (this.#text[inner] === ' ') inner++
    if (this.#text[inner] === '-' || this.#text[inner] === '#') throw UNREADABLE
    const at = [...list.at, list.count]
    list.count += 1
    this.#key.lastIndex = inner
    if (this.#key.test(this.#text)) {
      this.#open('map', indent + inner - first, { path: list.path, at })
      this.#entry(inner, indent + inner - first, end)
      return
    }
    this.#value({ first, from: inner, to: end }, list, { path: list.path, at })
  }

  #entry(first: number, indent: number, end: number): void {
    this.#key.lastIndex = first
    const match = this.#key.exec(this.#text)
    if (match === null) throw UNREADABLE
    const map = this.#frameFor('map', indent)
    const name = nameOf(match[1] ?? '')
    if (map.names.has(name)) throw UNREADABLE
    map.names.add(name)
    const colon = this.#key.lastIndex - 1
    if (name === 'sops' && this.#frames.length === 1) {
      if (colon + 1 !== end) throw UNREADABLE
      this.#sops = first
      this.#inSops = true
      map.comments = []
      return
    }
    if (colon + 1 === end) {
      this.#pending = { name, first, colon }
      return
    }
    let from = colon + 1
    while (this.#text[from] === ' ') from++
    const place = { path: [...map.path, name], at: [...map.at, name] }
    this.#value({ first, from, to: end }, map, place)
  }

  #value(
    { first, from, to }: { readonly first: number; readonly from: number; readonly to: number },
    frame: Frame,
    { path, at }: Pick<Frame, 'path' | 'at'>,
  ): void {
    const found = lineValue(this.#text.slice(from, to))
    if (found === null) throw UNREADABLE
    const { text, length, comment } = found
    const value = found.isQuoted ? scalar('str', text) : plainScalar(text)
    const end = from + length
    if (comment !== null) {
      frame.comments.push(comment)
      const start = to - comment.length
      this.#commentLeaf({ start, text: comment }, frame.path, frame.at, this.#inForce())
    }
    const block = comment === null ? frame.indent + 2 : null
    this.#end = end
    this.#leaves.push({
      ...{ path, at, comments: this.#inForce(), scalar: value, start: from, end },
      write: (other) => yamlText(other, { flow: false, block }),
      ...itemAt(this.#text, first, end),
    })
    frame.comments = []
  }

  /** The collection that a line of this indentation goes on with, or begins. */
  #frameFor(kind: Frame['kind'], indent: number): Frame {
    const top = this.#frames.at(-1)
    if (top === undefined) {
      if (kind === 'list') throw UNREADABLE
      return this.#open('map', indent, { path: [], at: [] })
    }
    const pending = this.#pending
    const isBelow = indent > top.indent || (kind === 'list' && indent === top.indent)
    if (pending !== null && isBelow) {
      this.#pending = null
      const { path, at } = top
      const place = { path: [...path, pending.name], at: [...at, pending.name] }
      const frame = this.#open(kind, indent, place)
      this.#takeComments(frame)
      return frame
    }
    this.#closeTo(indent, kind)
    const frame = this.#frames.at(-1)
    if (frame?.kind !== kind || frame.indent !== indent) throw UNREADABLE
    this.#takeComments(frame)
    return frame
  }

  #open(kind: Frame['kind'], indent: number, place: Pick<Frame, 'path' | 'at'>): Frame {
    const frame: Frame = { kind, indent, ...place, names: new Set(), count: 0, comments: [] }
    this.#frames.push(frame)
    return frame
  }

  /** Ends what is deeper, and lists that stand as deep as the map around them where that goes on. */
  #closeTo(indent: number, kind: Frame['kind'] = 'map'): void {
    this.#null()
    for (;;) {
      const top = this.#frames.at(-1)
      if (top === undefined) return
      const isOver = top.indent > indent || (top.indent === indent && top.kind !== kind)
      if (!isOver) return
      // The library leaves comments to the list that stands as deep as they do.
      if (top.indent === indent && this.#waiting.length > 0) throw UNREADABLE
      this.#frames.pop()
      if (top.kind === 'map')
        this.#maps.set(JSON.stringify(top.at), {
          indent: top.indent,
          end: lineEnd(this.#text, this.#end),
        })
      const around = this.#frames.at(-1)
      if (around !== undefined) around.comments = []
    }
  }

  /** A key without a value. */
  #null(): void {
    const [pending, top] = [this.#pending, this.#frames.at(-1)]
    this.#pending = null
    if (pending === null || top === undefined) return
    // The library takes comments behind it for its own.
    if (this.#waiting.length > 0) throw UNREADABLE
    const start = pending.colon + 1
    this.#end = Math.max(this.#end, start)
    this.#leaves.push({
      ...{ path: [...top.path, pending.name], at: [...top.at, pending.name] },
      ...{ comments: this.#inForce(), scalar: NULL, start, end: start },
      write: (value) => ` ${yamlText(value, { flow: true, block: null })}`,
      ...itemAt(this.#text, pending.first, start),
    })
    top.comments = []
  }

  /** Comments before a line belong to it where they are as deep. */
  #takeComments(frame: Frame): void {
    for (const { start, indent, text } of this.#waiting) {
      if (indent !== frame.indent) throw UNREADABLE
      frame.comments.push(text)
      this.#commentLeaf({ start, text }, frame.path, frame.at, this.#inForce())
    }
    this.#waiting = []
  }

  #commentLeaf(
    { start, text }: { readonly start: number; readonly text: string },
    path: readonly string[],
    at: readonly (string | number)[],
    comments: Leaf['comments'],
  ): void {
    const end = start + text.length
    const value = scalar('comment', text)
    this.#leaves.push({ path, at, comments, scalar: value, start, end, write: textOf })
  }

  #inForce(): Leaf['comments'] {
    return this.#frames.some(({ comments }) => comments.length > 0)
      ? this.#frames.map(({ comments }) => [...comments])
      : NO_COMMENTS
  }
}

const NO_COMMENTS: Leaf['comments'] = []

function nameOf(source: string): string {
  if (source.startsWith('"') || source.startsWith("'")) return source.slice(1, -1)
  if (plainScalar(source).type !== 'str') throw UNREADABLE
  return source
}
