import type { Document, Edit, Format, MetadataObject } from './document.ts'
import { readPlainYaml } from './plain-yaml.ts'
import type { Scalar } from './scalar.ts'
import { SopsError } from './sops-error.ts'
import { lineAt, type YamlDocument, type YamlParts, type YamlPlace } from './yaml-parts.ts'
import { yamlText } from './yaml-scalar.ts'

/** YAML, edited by position: whatever is neither a value nor the `sops` block stays byte for byte. */
export const yamlFormat: Format = { name: 'yaml', read }

/** Most files do without the library, which takes longer to load than to read a file. */
async function readAny(text: string): Promise<YamlParts> {
  const { readAnyYaml } = await import('./yaml-library.ts')
  return readAnyYaml(text)
}

/** Spaces per level of what sops writes. */
const INDENT = 4
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/

async function read(text: string): Promise<Document> {
  const control = text.search(CONTROL)
  if (control !== -1) {
    const line = lineAt(text, control)
    throw new SopsError('INVALID_DOCUMENT', `line ${line}: control characters are not allowed`)
  }
  const { leaves, places, maps } = readPlainYaml(text) ?? (await readAny(text))
  const [first] = places
  return {
    leaves,
    metadata: first?.metadata ?? null,
    withoutMetadata: places.flatMap(({ block }) => block ?? []),
    withMetadata: (metadata, indent) => {
      const block = { metadata, unit: ' '.repeat(indent ?? INDENT) }
      return places.length === 0
        ? [insertion(text, { end: text.length, indent: 0 }, block)]
        : places.map((place) => insertion(text, place, block))
    },
    add: (path, value) => addition(text, maps, { path, value, root: first }),
  }
}

function insertion(
  text: string,
  { end, indent }: Pick<YamlDocument, 'end' | 'indent'>,
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
  readonly root: YamlDocument | undefined
}

function addition(text: string, maps: YamlParts['maps'], { path, value, root }: Addition): Edit {
  const keys = path.filter((part) => typeof part === 'string')
  if (keys.length !== path.length) {
    throw new SopsError('UNSUPPORTED', 'a list cannot grow by set; edit the file instead')
  }
  let depth = keys.length - 1
  let place: YamlPlace | undefined
  for (; depth > 0 && place === undefined; depth--)
    place = maps.get(JSON.stringify(keys.slice(0, depth)))
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
