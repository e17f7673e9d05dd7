import * as yaml from 'yaml'
import type { Json } from './merge-patch.ts'
import type { Problem } from './problem.ts'

const MAX_BYTES = 256 * 1024
const MAX_DEPTH = 32
/** Values after aliases are followed: what stops alias bombs. */
const MAX_NODES = 20_000

/** Under these a map called `env` is something with that name, not a list of variables. */
const NAMED_MAPS = new Set<unknown>(['processes', 'sidecars', 'addons', 'volumes', 'environments'])

export type Path = readonly (string | number)[]
type At = 'key' | 'value'

/** A parsed app file: its data, and where each part of it stands. */
export interface AppDocument {
  readonly data: Json
  readonly problems: readonly Problem[]
  /** Position and text of a key or value; of the nearest parent where the path does not exist. */
  locate(
    path: Path,
    at: At,
  ): { readonly line: number; readonly column: number; readonly text: string }
  has(path: Path): boolean
}

interface Span {
  readonly key: readonly [number, number] | null
  readonly value: readonly [number, number]
}

/**
 * YAML 1.2 core, one document, text keys only. Values of variables (`env`) keep the text that stands in the file, so that
 * `VERSION: 1.10` stays '1.10'.
 */
export function readDocument(text: string): AppDocument {
  const lines = new yaml.LineCounter()
  const spans = new Map<string, Span>()
  const place = placer(text, lines, spans)
  if (Buffer.byteLength(text) > MAX_BYTES) {
    const problem = { path: '', line: 1, column: 1, text: '', suggestion: '' }
    return {
      data: null,
      problems: [{ ...problem, message: 'the file is larger than 256 KiB' }],
      ...place,
    }
  }
  const documents = yaml.parseAllDocuments(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    strict: true,
    // Compares every key with every other: seconds for a large map. The reader below finds duplicates with a Map.
    uniqueKeys: false,
    prettyErrors: false,
    lineCounter: lines,
    stringKeys: false,
  })
  const problems: Problem[] = []
  const list = Array.isArray(documents) ? documents : []
  for (const document of list) {
    // What follows a first syntax error is mostly its consequence.
    for (const error of [...document.errors.slice(0, 1), ...document.warnings]) {
      problems.push(problemAt(text, lines, error.pos, '', yamlMessage(error)))
    }
  }
  const [document, second] = list
  if (second !== undefined)
    problems.push(
      problemAt(text, lines, second.range, '', 'a second YAML document; an app file is one'),
    )
  if (document === undefined || problems.length > 0) return { data: {}, problems, ...place }
  const reader = new Reader(text, lines, document, spans, problems)
  const data = reader.read(document.contents, [], 0)
  return { data: data ?? {}, problems, ...place }
}

function placer(
  text: string,
  lines: yaml.LineCounter,
  spans: ReadonlyMap<string, Span>,
): Pick<AppDocument, 'locate' | 'has'> {
  return {
    has: (path) => spans.has(pointer(path)),
    locate: (path, at) => {
      for (let length = path.length; length >= 0; length--) {
        const span = spans.get(pointer(path.slice(0, length)))
        if (span === undefined) continue
        // A parent stands in for a missing child: its key says more than its whole value.
        const range =
          at === 'value' && length === path.length ? span.value : (span.key ?? span.value)
        const { line, col } = lines.linePos(range[0])
        return { line, column: col, text: excerpt(text, range) }
      }
      return { line: 1, column: 1, text: '' }
    },
  }
}

class Reader {
  readonly #text: string
  readonly #lines: yaml.LineCounter
  readonly #document: yaml.Document
  readonly #spans: Map<string, Span>
  readonly #problems: Problem[]
  #nodes = 0

  constructor(
    text: string,
    lines: yaml.LineCounter,
    document: yaml.Document,
    spans: Map<string, Span>,
    problems: Problem[],
  ) {
    this.#text = text
    this.#lines = lines
    this.#document = document
    this.#spans = spans
    this.#problems = problems
  }

  read(node: unknown, path: Path, depth: number, key: yaml.Scalar | null = null): Json {
    if (!yaml.isNode(node)) return this.#empty(path, key)
    const value = rangeOf(node)
    this.#spans.set(pointer(path), { key: key === null ? null : rangeOf(key), value })
    this.#nodes++
    if (this.#nodes === MAX_NODES)
      this.#complain(value, path, 'too many values after following its aliases')
    if (depth === MAX_DEPTH) this.#complain(value, path, `nested deeper than ${MAX_DEPTH} levels`)
    if (this.#nodes >= MAX_NODES || depth >= MAX_DEPTH) return null
    if (yaml.isAlias(node)) return this.#alias(node, path, depth, key)
    if (yaml.isMap(node)) return this.#map(node, path, depth)
    if (yaml.isSeq(node))
      return node.items.map((item, i) => this.read(item, [...path, i], depth + 1))
    return yaml.isScalar(node) ? this.#scalar(node, path) : null
  }

  #empty(path: Path, key: yaml.Scalar | null): null {
    const range = key === null ? ([0, 0] as const) : rangeOf(key)
    this.#spans.set(pointer(path), { key: range, value: range })
    return null
  }

  #alias(node: yaml.Alias, path: Path, depth: number, key: yaml.Scalar | null): Json {
    const target = node.resolve(this.#document)
    if (target === undefined) {
      this.#complain(rangeOf(node), path, `nothing is named &${node.source} before it`)
      return null
    }
    return this.read(target, path, depth + 1, key)
  }

  #map(node: yaml.YAMLMap, path: Path, depth: number): Json {
    const entries = new Map<string, Json>()
    for (const pair of node.items) {
      const key: unknown = yaml.isAlias(pair.key) ? pair.key.resolve(this.#document) : pair.key
      if (!yaml.isScalar(key)) {
        this.#complain(rangeOf(node), path, 'keys must be texts')
        continue
      }
      const text = typeof key.value === 'string' ? key.value : (key.source ?? '')
      if (typeof key.value !== 'string' || text === '__proto__') {
        this.#complain(rangeOf(key), [...path, text], 'keys must be texts: write it in quotes')
        continue
      }
      if (entries.has(text)) {
        this.#complain(rangeOf(key), [...path, text], 'this key stands here twice')
        continue
      }
      entries.set(text, this.read(pair.value, [...path, text], depth + 1, key))
    }
    return Object.fromEntries(entries)
  }

  #scalar(node: yaml.Scalar, path: Path): Json {
    const { value } = node
    const variable = path.at(-2) === 'env' && !NAMED_MAPS.has(path.at(-3))
    if (variable && (typeof value === 'number' || typeof value === 'boolean'))
      return node.source ?? String(value)
    if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value
    if (typeof value === 'number' && Number.isFinite(value)) return value
    this.#complain(rangeOf(node), path, 'expected a text, a number, true or false')
    return null
  }

  #complain(range: readonly [number, number], path: Path, message: string): void {
    this.#problems.push(problemAt(this.#text, this.#lines, range, path.join('.'), message))
  }
}

function problemAt(
  text: string,
  lines: yaml.LineCounter,
  range: readonly number[],
  path: string,
  message: string,
): Problem {
  const start = Math.min(range[0] ?? 0, text.length)
  const { line, col } = lines.linePos(start)
  return {
    path,
    line: Math.max(1, line),
    column: Math.max(1, col),
    text: excerpt(text, [start, range[1] ?? start]),
    message,
    suggestion: '',
  }
}

function yamlMessage(error: yaml.YAMLError): string {
  return `not valid YAML: ${error.message}`
}

function rangeOf(node: yaml.Node): readonly [number, number] {
  return [node.range?.[0] ?? 0, node.range?.[1] ?? 0]
}

function excerpt(text: string, range: readonly [number, number]): string {
  const line = text.slice(range[0], Math.max(range[1], range[0])).split('\n')[0] ?? ''
  return line.length > 80 ? `${line.slice(0, 77)}…` : line
}

function pointer(path: Path): string {
  return path.map((part) => JSON.stringify(part)).join('/')
}
