/** Any YAML, by the concrete syntax of the library `yaml`. */
import { Parser, parse, type CST } from 'yaml'
import { SopsError } from './sops-error.ts'
import { blockAt, lineAt, sopsOf, type YamlDocument, type YamlParts } from './yaml-parts.ts'
import { YamlReader } from './yaml-reader.ts'

/** @throws SopsError INVALID_DOCUMENT, INVALID_METADATA, UNSUPPORTED */
export function readAnyYaml(text: string): YamlParts {
  const reader = new YamlReader(text)
  const places: YamlDocument[] = []
  let open: CST.Document | null = null
  const close = (end: number): void => {
    if (open !== null) places.push(readDocument(reader, open, text, end))
    open = null
  }
  for (const token of new Parser().parse(text)) {
    if (token.type === 'document') {
      close(startOf(token))
      open = token
    } else if (token.type === 'doc-end') {
      close(token.offset)
    } else if (token.type === 'error') {
      throw new SopsError(
        'INVALID_DOCUMENT',
        `line ${lineAt(text, token.offset)}: ${token.message}`,
      )
    } else if (token.type === 'comment') {
      reader.comment(token, { path: [], at: [], stack: [[]] })
    }
  }
  close(text.length)
  return { leaves: reader.leaves, maps: reader.maps, places }
}

function readDocument(
  reader: YamlReader,
  document: CST.Document,
  text: string,
  end: number,
): YamlDocument {
  const level = { path: [], at: [], stack: [[]] }
  reader.comments(document.start, level)
  const value = document.value
  const scalarEnd = document.end ?? []
  if (value === undefined || (value.type === 'scalar' && value.source === '')) {
    reader.comments(scalarEnd, level)
    return { end, indent: 0, metadata: null, block: null }
  }
  if (value.type !== 'block-map') {
    const what = value.type === 'flow-collection' ? 'a flow collection ({…})' : 'no map'
    throw new SopsError(
      'UNSUPPORTED',
      `line ${lineAt(text, value.offset)}: the document is ${what}; it must be a block map`,
    )
  }
  const sops = reader.root(value)
  reader.comments(scalarEnd, level)
  if (sops === null) return { end, indent: value.indent, metadata: null, block: null }
  const block = blockAt(text, sops, value.indent)
  const parsed: unknown = metadataIn(text.slice(block.start, block.end))
  return { end, indent: value.indent, metadata: parsed, block }
}

function metadataIn(block: string): unknown {
  let parsed: unknown
  try {
    parsed = parse(block, { schema: 'core', version: '1.2', logLevel: 'error' })
  } catch (cause) {
    throw new SopsError('INVALID_METADATA', 'the sops block is no YAML', cause)
  }
  return sopsOf(parsed)
}

function startOf({ start, offset }: CST.Document): number {
  return start.find(({ type }) => type === 'doc-start')?.offset ?? offset
}
