import { CST } from 'yaml'
import type { Leaf } from './document.ts'
import { NULL, scalar, textOf, type Scalar } from './scalar.ts'
import { SopsError } from './sops-error.ts'
import { itemAt, lineAt, lineEnd, type YamlPlace } from './yaml-parts.ts'
import { plainScalar, yamlText } from './yaml-scalar.ts'

/** A collection being read: its keys so far and the comments in force. */
interface Level {
  readonly path: readonly string[]
  readonly at: readonly (string | number)[]
  /** One list of comments per level; the last one is this collection's own. */
  readonly stack: readonly string[][]
}

interface Surroundings {
  readonly flow: boolean
  readonly indent: number
}

type Item = CST.CollectionItem
type Sources = readonly CST.SourceToken[]

const QUOTED = ['single-quoted-scalar', 'double-quoted-scalar'] as const

/** Walks the concrete syntax of YAML and collects values and comments with their positions, in the order that sops walks them. */
export class YamlReader {
  readonly leaves: Leaf[] = []
  readonly #text: string
  readonly #maps = new Map<string, YamlPlace>()
  /** End of what was read last, for the ends of items. */
  #end = 0

  constructor(text: string) {
    this.#text = text
  }

  /** Reads the top map; the position of its key `sops`, or null. */
  root(map: CST.BlockMap): number | null {
    return this.#map(map, { path: [], at: [], stack: [[]] }, { flow: false, indent: map.indent })
  }

  get maps(): ReadonlyMap<string, YamlPlace> {
    return this.#maps
  }

  comments(tokens: Sources, level: Level): void {
    for (const token of tokens) if (token.type === 'comment') this.comment(token, level)
  }

  comment({ offset, source }: { offset: number; source: string }, level: Level): void {
    const text = source.slice(1).replace(/\r$/, '')
    level.stack.at(-1)?.push(text)
    this.leaves.push({
      path: level.path,
      at: level.at,
      comments: snapshot(level.stack),
      scalar: scalar('comment', text),
      start: offset + 1,
      end: offset + 1 + text.length,
      write: textOf,
    })
  }

  #map(map: CST.BlockMap | CST.FlowCollection, level: Level, around: Surroundings): number | null {
    const seen = new Set<string>()
    let sops: number | null = null
    for (const item of map.items) {
      const { key } = this.#checked(item, level)
      if (!holdsPair(item)) continue
      const name = this.#key(key, item)
      if (seen.has(name))
        throw this.#wrong(key?.offset ?? map.offset, `the key ${JSON.stringify(name)} stands twice`)
      seen.add(name)
      if (name === 'sops' && level.path.length === 0) {
        sops = key?.offset ?? 0
      } else {
        const inner = { ...level, path: [...level.path, name], at: [...level.at, name] }
        this.#value({ item, inner, level, around, first: key?.offset ?? map.offset })
      }
      clear(level)
    }
    if (map.type === 'block-map' && map.items.length > 0) {
      this.#maps.set(JSON.stringify(level.at), {
        indent: map.indent,
        end: lineEnd(this.#text, this.#end),
      })
    }
    return sops
  }

  #sequence(
    list: CST.BlockSequence | CST.FlowCollection,
    level: Level,
    around: Surroundings,
  ): void {
    let index = 0
    for (const item of list.items) {
      const { key, sep, value } = this.#checked(item, level)
      const isItem = value !== undefined || item.start.some(({ type }) => type === 'seq-item-ind')
      if (key !== undefined || sep !== undefined) {
        throw this.#wrong(key?.offset ?? list.offset, 'a pair in a flow list is not supported')
      }
      if (!isItem) continue
      const first = item.start.find(({ type }) => type === 'seq-item-ind')?.offset ?? value?.offset
      const inner = { ...level, at: [...level.at, index] }
      this.#value({ item, inner, level, around, first: first ?? list.offset })
      clear(level)
      index += 1
    }
  }

  /** Comments before an item, and what it may not have. */
  #checked(item: Item, level: Level): Item {
    for (const { type, offset } of [...item.start, ...(item.sep ?? [])]) {
      if (type === 'tag' && !item.value) throw this.#wrong(offset, 'a tag stands before nothing')
      if (type === 'anchor' || type === 'explicit-key-ind') {
        throw this.#wrong(
          offset,
          type === 'anchor' ? 'anchors are not supported' : 'keys with ? are not supported',
        )
      }
    }
    this.comments(item.start, level)
    return item
  }

  #key(key: CST.Token | null | undefined, { start }: Item): string {
    const offset = key?.offset ?? start[0]?.offset ?? 0
    if (start.some(({ type }) => type === 'tag') || !key || !CST.isScalar(key)) {
      throw this.#wrong(offset, 'keys must be text')
    }
    const found = this.#scalar(key, [])
    this.#refuseMerge(key)
    if (found.type === 'str') return textOf(found)
    throw this.#wrong(
      offset,
      `keys must be text; quote ${key.type === 'scalar' ? key.source : 'it'}`,
    )
  }

  #refuseMerge(key: CST.Token): void {
    if (key.type === 'scalar' && key.source === '<<')
      throw this.#wrong(key.offset, 'merge keys are not supported')
  }

  #value(read: {
    readonly item: Item
    readonly inner: Level
    readonly level: Level
    readonly around: Surroundings
    readonly first: number
  }): void {
    const { item, inner, level, around } = read
    const { value, sep = [] } = item
    const nested: Level = { ...inner, stack: [...level.stack, []] }
    const isScalar = !value || CST.isScalar(value)
    const newline = this.#keyComments(sep, level, isScalar ? level : nested)
    if (!value) {
      this.#end = Math.max(this.#end, endOfEmpty(sep, newline, read.first))
      this.#null(read)
      return
    }
    if (value.type === 'alias')
      throw this.#wrong(value.offset, 'aliases are not supported; write the value out')
    if (CST.isScalar(value)) {
      this.#leaf(value, read)
      return
    }
    if (value.type === 'flow-collection') {
      this.#flow(value, nested, around)
      return
    }
    if (value.type === 'block-map') this.#map(value, nested, { ...around, indent: value.indent })
    else if (value.type === 'block-seq')
      this.#sequence(value, nested, { ...around, indent: value.indent })
    else throw this.#wrong(read.first, 'the value cannot be read')
  }

  /** A comment on the key's own line belongs beside the key, one below it to the collection that follows. */
  #keyComments(sep: Sources, beside: Level, below: Level): number {
    const newline = sep.findIndex(({ type }) => type === 'newline')
    this.comments(newline === -1 ? sep : sep.slice(0, newline), beside)
    if (newline !== -1) this.comments(sep.slice(newline), below)
    return newline
  }

  #flow(value: CST.FlowCollection, nested: Level, around: Surroundings): void {
    const closing = value.end.find(({ type }) => type === 'flow-map-end' || type === 'flow-seq-end')
    if (closing === undefined) throw this.#wrong(value.offset, 'a flow collection is not closed')
    this.comments(value.end, nested)
    const inside = { ...around, flow: true }
    if (value.start.type === 'flow-map-start') this.#map(value, nested, inside)
    else this.#sequence(value, nested, inside)
    this.#end = closing.offset + 1
  }

  #null({
    item,
    inner,
    level,
    first,
  }: {
    item: Item
    inner: Level
    level: Level
    first: number
  }): void {
    const colon = item.sep?.find(({ type }) => type === 'map-value-ind')
    if (colon === undefined) return
    const start = colon.offset + 1
    this.leaves.push({
      path: inner.path,
      at: inner.at,
      comments: snapshot(level.stack),
      scalar: NULL,
      start,
      end: start,
      write: (value) => ` ${yamlText(value, { flow: true, block: null })}`,
      ...itemAt(this.#text, first, start),
    })
  }

  #leaf(
    token: CST.FlowScalar | CST.BlockScalar,
    {
      item,
      inner,
      level,
      around,
      first,
    }: { item: Item; inner: Level; level: Level; around: Surroundings; first: number },
  ): void {
    const tokens = [...(item.sep ?? []), ...(item.sep === undefined ? item.start : [])]
    const value = this.#scalar(token, tokens)
    const start = token.offset
    const end = start + lengthOf(token)
    const after = token.type === 'block-scalar' ? [] : (token.end ?? [])
    const newline = after.findIndex(({ type }) => type === 'newline')
    const inline = newline === -1 ? after : after.slice(0, newline)
    const hasComment = inline.some(({ type }) => type === 'comment')
    this.comments(inline, level)
    const block = around.flow || hasComment ? null : around.indent + 2
    this.#end = end
    const tagged = tokens.find(({ type }) => type === 'tag')
    this.leaves.push({
      path: inner.path,
      at: inner.at,
      comments: snapshot(level.stack),
      scalar: value,
      start: tagged?.offset ?? start,
      end,
      write: (other) => yamlText(other, { flow: around.flow, block }),
      ...(around.flow ? {} : itemAt(this.#text, first, end)),
    })
    if (newline !== -1) this.comments(after.slice(newline), level)
  }

  #scalar(token: CST.FlowScalar | CST.BlockScalar, props: Sources): Scalar {
    const tag = props.find(({ type }) => type === 'tag')
    if (tag !== undefined && tag.source !== '!!str')
      throw this.#wrong(tag.offset, `the tag ${tag.source} is not supported`)
    if (token.type === 'alias')
      throw this.#wrong(token.offset, 'aliases are not supported; write the value out')
    if (token.type === 'block-scalar' && token.props.some(({ type }) => type === 'comment')) {
      throw this.#wrong(token.offset, 'a comment behind | or > is not supported')
    }
    const resolved = CST.resolveAsScalar(token, true, (offset, _code, message) => {
      throw this.#wrong(offset, message)
    })
    const isText =
      tag !== undefined ||
      token.type === 'block-scalar' ||
      QUOTED.some((type) => type === token.type)
    return isText ? scalar('str', resolved.value) : plainScalar(resolved.value)
  }

  #wrong(offset: number, message: string): SopsError {
    return new SopsError('INVALID_DOCUMENT', `line ${lineAt(this.#text, offset)}: ${message}`)
  }
}

/** A block scalar ends before the line break that ends it, so that another value can take its place. */
function lengthOf(token: CST.FlowScalar | CST.BlockScalar): number {
  if (token.type !== 'block-scalar') return token.source.length
  const head = token.props.reduce(
    (sum, prop) => sum + ('source' in prop ? prop.source.length : 0),
    0,
  )
  const keeps = token.props.some(
    (prop) => prop.type === 'block-scalar-header' && prop.source.includes('+'),
  )
  return head + token.source.replace(keeps ? /\n$/ : /(\r?\n[ \t]*)+$/, '').length
}

function endOfEmpty(sep: Sources, newline: number, first: number): number {
  const last = sep.at(-1)
  if (newline === -1 && last !== undefined) return last.offset + last.source.length
  return sep[newline]?.offset ?? first
}

function holdsPair({ key, sep, value }: Item): boolean {
  return key !== undefined || sep !== undefined || value !== undefined
}

function clear({ stack }: Level): void {
  stack.at(-1)?.splice(0)
}

const NO_COMMENTS: readonly (readonly string[])[] = []

function snapshot(stack: readonly string[][]): readonly (readonly string[])[] {
  return stack.some(({ length }) => length > 0) ? stack.map((level) => [...level]) : NO_COMMENTS
}
