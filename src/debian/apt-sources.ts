/** Reads apt's own configuration of package sources: sources.list(5), both forms. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing, readIfExists } from '../lib/atomic-file.ts'
import type { Log } from '../lib/log.ts'
import type { AptSource, SigningKeys } from './apt-source.ts'
import { parseStanzas, words, type ControlStanza } from './control-stanza.ts'

/**
 * The sources of a host in apt's order: sources.list, then the files of sources.list.d by name. A file which cannot be read as such is logged and passed over,
 * as apt does with one broken entry of many.
 * @param etcApt the folder of apt's configuration
 */
export async function hostSources(etcApt: string, log: Log): Promise<readonly AptSource[]> {
  const names = (await listFolder(join(etcApt, 'sources.list.d'))).sort()
  const files = [
    join(etcApt, 'sources.list'),
    ...names.map((name) => join(etcApt, 'sources.list.d', name)),
  ]
  const found: AptSource[] = []
  for (const file of files) {
    if (!/\.(list|sources)$/.test(file)) continue
    const text = await readIfExists(file)
    if (text === null) continue
    try {
      found.push(...(file.endsWith('.list') ? parseSourcesList : parseSourcesFile)(text, file))
    } catch (error) {
      log.warn({ file, error: String(error) }, 'apt source file passed over')
    }
  }
  return found
}

/** Either form, by the first line that says something. @throws SyntaxError */
export function parseSources(text: string, origin: string): AptSource[] {
  const isList = /^\s*(?:#.*\n\s*)*deb(?:-src)?\s/.test(text)
  return isList ? parseSourcesList(text, origin) : parseSourcesFile(text, origin)
}

/** One-line form: `deb [option=value ...] uri suite component...`. @throws SyntaxError */
export function parseSourcesList(text: string, origin: string): AptSource[] {
  return text.split('\n').flatMap((raw, index) => {
    const line = raw.replace(/#.*/, '').trim()
    if (line === '') return []
    const match = /^(deb|deb-src)\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*(.*)$/.exec(line)
    if (match === null) throw new SyntaxError(`${origin}:${index + 1}: no apt source: ${line}`)
    const [, type, rawOptions = '', uri = '', suite = '', components] = match
    if (type !== 'deb') return []
    const options = parseOptions(rawOptions)
    const where = { origin: `${origin}:${index + 1}`, components: words(components) }
    const signedBy = options.get('signed-by')?.split(',')
    return toSources([uri], [suite], {
      ...where,
      architectures: options.get('arch')?.split(','),
      signedBy: signedBy?.map((file) => ({ file })),
      checkValidUntil: options.get('check-valid-until'),
    })
  })
}

/** deb822 form: paragraphs with Types, URIs, Suites, Components. @throws SyntaxError */
export function parseSourcesFile(text: string, origin: string): AptSource[] {
  return parseStanzas(text).flatMap((stanza) => {
    if (isNo(stanza.get('enabled')) || !words(stanza.get('types')).includes('deb')) return []
    const architectures = words(stanza.get('architectures'))
    return toSources(words(stanza.get('uris')), words(stanza.get('suites')), {
      origin,
      components: words(stanza.get('components')),
      architectures: architectures.length === 0 ? undefined : architectures,
      signedBy: parseSignedBy(stanza),
      checkValidUntil: stanza.get('check-valid-until'),
    })
  })
}

/** The sources in the deb822 form, which `parseSourcesFile` reads as the same ones. */
export function sourcesText(sources: readonly AptSource[]): string {
  return sources.map((source) => `${stanzaOf(source).join('\n')}\n`).join('\n')
}

function stanzaOf({ uri, suite, components, ...more }: AptSource): string[] {
  const { architectures, signedBy, checkValidUntil } = more
  return [
    'Types: deb',
    `URIs: ${uri}`,
    `Suites: ${suite}`,
    ...(components.length === 0 ? [] : [`Components: ${components.join(' ')}`]),
    ...(architectures === undefined ? [] : [`Architectures: ${architectures.join(' ')}`]),
    ...(signedBy === undefined ? [] : signedByLines(signedBy)),
    ...(checkValidUntil === false ? ['Check-Valid-Until: no'] : []),
  ]
}

/** An armoured key stands in place, its empty lines as " .". */
function signedByLines(keys: readonly SigningKeys[]): string[] {
  const files = keys.flatMap((key) => ('file' in key ? [key.file] : []))
  const armored = keys.flatMap((key) => ('armored' in key ? key.armored.split('\n') : []))
  const lines = armored.map((line) => ` ${line.trim() === '' ? '.' : line}`)
  return [`Signed-By: ${files.join(' ')}`.trimEnd(), ...lines]
}

interface SourceFields {
  readonly origin: string
  readonly components: readonly string[]
  readonly architectures: readonly string[] | undefined
  readonly signedBy: readonly SigningKeys[] | undefined
  readonly checkValidUntil: string | undefined
}

function toSources(
  uris: readonly string[],
  suites: readonly string[],
  fields: SourceFields,
): AptSource[] {
  const { origin, components, architectures, signedBy, checkValidUntil } = fields
  return uris.flatMap((uri) =>
    suites.map((suite) => ({
      uri: uri.replace(/\/+$/, ''),
      suite,
      components,
      origin,
      ...(architectures === undefined ? {} : { architectures }),
      ...(signedBy === undefined ? {} : { signedBy }),
      ...(isNo(checkValidUntil) ? { checkValidUntil: false } : {}),
    })),
  )
}

function parseOptions(text: string): Map<string, string> {
  return new Map(
    words(text).map((word) => {
      const [key = '', value = ''] = word.split(/\+?=(.*)/s)
      return [key.toLowerCase(), value]
    }),
  )
}

/** File names, or one armoured key whose empty lines are written as " ." */
function parseSignedBy(stanza: ControlStanza): SigningKeys[] | undefined {
  const value = stanza.get('signed-by')
  if (value === undefined || value.trim() === '') return undefined
  if (!value.includes('-----BEGIN')) return words(value).map((file) => ({ file }))
  const lines = value.split('\n').map((line) => (line.trim() === '.' ? '' : line))
  return [{ armored: lines.join('\n').trim() }]
}

function isNo(value: string | undefined): boolean {
  return value !== undefined && /^(no|false|without|off|disable|0)$/i.test(value.trim())
}

async function listFolder(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}
