import type { Document, Format, Leaf } from './document.ts'
import { readJson } from './json-format.ts'
import { textOf } from './scalar.ts'

/** Any bytes, in sops's JSON envelope `{"data": "ENC[…]", "sops": {…}}`. Texts of this format hold one byte per character (latin1). */
export const binaryFormat: Format = { name: 'binary', read }

const ENVELOPE = /^\s*\{[\s\S]*"sops"\s*:/

function read(text: string): Document {
  return (ENVELOPE.test(text) ? envelope(text) : null) ?? plain(text)
}

function envelope(text: string): Document | null {
  const document = readJson(text)
  const [leaf, extra] = document.leaves
  if (document.metadata === null || leaf === undefined || extra !== undefined) return null
  if (leaf.at.length !== 1 || leaf.at[0] !== 'data') return null
  return {
    ...document,
    leaves: [{ ...leaf, write: ({ bytes }) => bytes.toString('latin1') }],
    withoutMetadata: [
      { start: 0, end: leaf.start, text: '' },
      {
        start: leaf.end,
        end: text.length,
        // The empty file is an empty string that no key opens, so that nothing else takes its quotes out.
        text: '',
      },
      ...(leaf.scalar.bytes.length === 0 ? [{ start: leaf.start, end: leaf.end, text: '' }] : []),
    ],
  }
}

function plain(text: string): Document {
  const leaf: Leaf = {
    path: ['data'],
    at: ['data'],
    comments: [],
    scalar: { type: 'str', bytes: Buffer.from(text, 'latin1') },
    start: 0,
    end: text.length,
    write: (value) => JSON.stringify(textOf(value)),
  }
  return {
    leaves: [leaf],
    metadata: null,
    withoutMetadata: [],
    withMetadata: (metadata, indent) => {
      const unit = indent === null ? '\t' : ' '.repeat(indent)
      const block = JSON.stringify({ sops: metadata }, null, unit === '' ? ' ' : unit).slice(2, -2)
      return [
        { start: 0, end: 0, text: `{\n${unit}"data": ${text === '' ? '""' : ''}` },
        { start: text.length, end: text.length, text: `,\n${block}\n}\n` },
      ]
    },
    add: (_path, { bytes }) => ({ start: 0, end: text.length, text: bytes.toString('latin1') }),
  }
}
