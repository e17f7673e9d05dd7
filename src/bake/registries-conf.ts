import { FairwayError } from '../model/errors.ts'

/** What containers-registries.conf(5) says of where images come from, as far as a pull needs it. */
export interface RegistriesConf {
  /** Registries for names without a host, the first one counts. */
  readonly search: readonly string[]
  /** Short name -> `host/repository`. */
  readonly aliases: Readonly<Record<string, string>>
  readonly registries: readonly RegistryRule[]
}

/** A `[[registry]]`: what is said of references that begin with `prefix`. */
export interface RegistryRule {
  /** `host[:port][/path]`, or `*.domain` for all hosts below it. */
  readonly prefix: string
  /** Put in the place of `prefix`. */
  readonly location: string
  readonly blocked: boolean
  /** Locations that are tried first. */
  readonly mirrors: readonly string[]
}

export const NO_REGISTRIES_CONF: RegistriesConf = { search: [], aliases: {}, registries: [] }

/** The part of TOML that such files are written in. @throws FairwayError REGISTRY_FAILED naming file and line */
export function parseRegistriesConf(text: string, path: string): RegistriesConf {
  const search: string[] = []
  const aliases: Record<string, string> = {}
  const rules: Table[] = []
  const mirrors = new Map<Table, Table[]>()
  let table: Table = {}
  let section = ''
  for (const line of statements(text, path)) {
    if (line.kind === 'table') {
      section = line.name
      table = {}
      const last = rules.at(-1)
      if (section === 'registry') rules.push(table)
      if (section === 'registry.mirror' && last !== undefined)
        mirrors.set(last, [...(mirrors.get(last) ?? []), table])
      continue
    }
    const { key, value } = line
    table[key] = value
    if (section === 'aliases' && typeof value === 'string' && value !== '') aliases[key] = value
    if (isSearchList(section, key) && typeof value === 'object' && value !== null)
      search.splice(0, search.length, ...value)
  }
  return { search, aliases, registries: rules.map((rule) => ruleOf(rule, mirrors.get(rule) ?? [])) }
}

/** Later files say more than earlier ones: their search list replaces, their rules and aliases of the same name win. */
export function mergeRegistriesConf(files: readonly RegistriesConf[]): RegistriesConf {
  return files.reduce(
    (before, { search, aliases, registries }) => ({
      search: search.length > 0 ? search : before.search,
      aliases: { ...before.aliases, ...aliases },
      registries: [
        ...before.registries.filter(
          ({ prefix }) => !registries.some((rule) => rule.prefix === prefix),
        ),
        ...registries,
      ],
    }),
    NO_REGISTRIES_CONF,
  )
}

// Private

type Value = string | boolean | readonly string[] | null
type Table = Record<string, Value>
type Statement =
  | { readonly kind: 'table'; readonly name: string }
  | { readonly kind: 'value'; readonly key: string; readonly value: Value }

function* statements(text: string, path: string): Generator<Statement> {
  const lines = text.split(/\r?\n/)
  for (let at = 0; at < lines.length; at++) {
    const begin = at
    let line = withoutComment(lines[at] ?? '')
    if (line === '') continue
    const header = /^\[\[?\s*([A-Za-z0-9_."-]+)\s*\]\]?$/.exec(line)
    if (header?.[1] !== undefined) {
      yield { kind: 'table', name: header[1].replaceAll('"', '') }
      continue
    }
    // A list may go over several lines.
    while (/=\s*\[/.test(line) && !line.endsWith(']') && at + 1 < lines.length)
      line += ` ${withoutComment(lines[++at] ?? '')}`.trimEnd()
    const pair = /^("[^"]*"|'[^']*'|[A-Za-z0-9_-]+)\s*=\s*(.*)$/.exec(line)
    if (pair?.[1] === undefined || pair[2] === undefined) {
      throw new FairwayError(
        'REGISTRY_FAILED',
        `${path}:${String(begin + 1)} is not understood: ${line.slice(0, 80)}`,
        { hint: 'containers-registries.conf(5) says how such files are written.' },
      )
    }
    yield { kind: 'value', key: pair[1].replace(/^["']|["']$/g, ''), value: valueOf(pair[2]) }
  }
}

/** The second name is that of version 1 of the format, which is still read. */
function isSearchList(section: string, key: string): boolean {
  return section === ''
    ? key === 'unqualified-search-registries'
    : section === 'registries.search' && key === 'registries'
}

/** A `#` inside of quotes is none. */
function withoutComment(line: string): string {
  return (/^(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^#"'])*/.exec(line)?.[0] ?? '').trim()
}

/** Null for kinds of values that no key that we read has. */
function valueOf(text: string): Value {
  if (text === 'true' || text === 'false') return text === 'true'
  const strings = [...text.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'/g)].map(
    ([, basic, literal]) => literal ?? (basic ?? '').replace(/\\(["\\])/g, '$1'),
  )
  if (text.startsWith('[')) return strings
  return /^["']/.test(text) ? (strings[0] ?? null) : null
}

function ruleOf(table: Table, mirrors: readonly Table[]): RegistryRule {
  const text = (from: Table, key: string): string => {
    const value = from[key]
    return typeof value === 'string' ? value : ''
  }
  const location = text(table, 'location')
  const prefix = text(table, 'prefix')
  return {
    prefix: prefix === '' ? location : prefix,
    location,
    blocked: table['blocked'] === true,
    mirrors: mirrors.map((mirror) => text(mirror, 'location')).filter((name) => name !== ''),
  }
}
