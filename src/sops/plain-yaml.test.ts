import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parse, stringify } from 'yaml'
import { batches } from '../../test/sops-corpus.ts'
import { readPlainMetadata } from './plain-metadata.ts'
import { readPlainYaml } from './plain-yaml.ts'
import { scalar } from './scalar.ts'
import { readAnyYaml } from './yaml-library.ts'
import type { YamlParts } from './yaml-parts.ts'

/** All that a caller sees of what was read, and what would be written in its place. */
function seen({ leaves, maps, places }: YamlParts): unknown {
  const others = ['plain', 'two\nlines', ' odd: #', 'true'].map((text) => scalar('str', text))
  return {
    places,
    maps: [...maps].sort(([a], [b]) => (a < b ? -1 : 1)),
    leaves: leaves.map(({ write, scalar: { type, bytes }, ...leaf }) => ({
      ...{ ...leaf, type, text: bytes.toString('latin1') },
      written: leaf.at.length === 0 && type === 'comment' ? [] : others.map((each) => write(each)),
    })),
  }
}

/** Whether it was plain. What is plain is read as the library reads it. */
function checked(text: string): boolean {
  const plain = readPlainYaml(text)
  if (plain === null) return false
  assert.deepEqual(seen(plain), seen(readAnyYaml(text)), JSON.stringify(text))
  return true
}

test('what files mostly look like needs no library', () => {
  for (const text of [
    'a: 1\nb: two words\nc: "x y"\nd: \'z\'\ne: ENC[AES256_GCM,data:a+/=,iv:b=,tag:c==,type:str]\n',
    '# about\n# all\na:\n    b:\n        - 1\n        - x # inline\n        - c: d\n          e: g\n    # on f\n    f: 2020-01-01\n\n# on g\ng: -1.5\nh:\n- a\n- b\ni: ~\nj:',
    'a: b\nsops:\n    age:\n        - recipient: age1x\n          enc: |\n            -----BEGIN\n            x\n            -----END\n    lastmodified: "2026-05-22T20:16:18Z"\n    mac: ENC[x,y]\n    shamir_threshold: 2\n    version: 3.13.2\n',
  ])
    assert.ok(checked(text), text)
})

/** Lines that can stand together in many ways, most of them wrong. */
const line = fc
  .tuple(
    fc.constantFrom(0, 0, 0, 1, 2, 2, 4, 4, 6),
    fc.constantFrom(
      ...['a: 1', 'b: x', 'c:', 'd: "q # r"', "e: 'f' # c", 'g: h # i', '# note', '#', 'sops:'],
      ...[
        '- 1',
        '- x # y',
        '- k: v',
        '- k:',
        '-',
        '- - a',
        '- "k": v',
        '',
        'j: ~',
        'k: -',
        '"l": m',
      ],
      ...[
        'n: [a]',
        'o: |',
        'p: a: b',
        'q: b:',
        'r:  two',
        'null: x',
        's: 0777',
        't: é\u00a0',
        'u :',
      ],
      ...[
        'more text',
        'v: "a',
        'w: #x',
        'x: y#z',
        'y: a  b',
        '---',
        '? z',
        '&a b: c',
        'A: *b',
        'true',
      ],
      ...['B: - c', "C: 'it''s'", 'D: "\\n"', 'E: !!str 1', 'F: -x', 'G: .5', 'H: \u2028'],
    ),
  )
  .map(([indent, text]) => `${text === '' ? '' : ' '.repeat(indent)}${text}`)

test('whatever lines it takes it reads as the library does', () => {
  let plain = 0
  fc.assert(
    fc.property(
      fc.array(line, { minLength: 1, maxLength: 9 }),
      fc.constantFrom('\n', ''),
      (lines, end) => {
        if (checked(lines.join('\n') + end)) plain += 1
      },
    ),
    { numRuns: 30_000, examples: [[['  sops:', '  # note', '  a: 1'], '\n']] },
  )
  assert.ok(plain > 300, String(plain))
})

/** The same, likelier to be a document. */
interface Node {
  readonly head: string
  readonly below: readonly Node[]
  readonly isList: boolean
}
const value = fc.constantFrom(
  '1',
  'x',
  '"q # r"',
  "'f' # c",
  'g # h',
  'true',
  '~',
  '',
  'ENC[a,b:c]',
)
const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.record({
    head: fc.oneof(value, fc.constant('# note')),
    below: fc.oneof(
      { depthSize: 'small' },
      fc.constant([]),
      fc.array(tie('node'), { maxLength: 4 }),
    ),
    isList: fc.boolean(),
  }),
}))

function written(nodes: readonly Node[], indent: string, isList: boolean, step: string): string {
  return nodes
    .map(({ head, below, isList: isBelow }, index) => {
      if (head.startsWith('#')) return `${indent}${head}\n`
      const key = isList ? '-' : `k${String(index)}:`
      if (below.length === 0) return `${indent}${key}${head === '' ? '' : ` ${head}`}\n`
      if (isList) return `${indent}- a:\n${written(below, `${indent}  ${step}`, isBelow, step)}`
      return `${indent}${key}\n${written(below, indent + (isBelow && index % 2 === 0 ? '' : step), isBelow, step)}`
    })
    .join('')
}

test('whatever documents it takes it reads as the library does', () => {
  let plain = 0
  fc.assert(
    fc.property(
      fc.array(node, { minLength: 1, maxLength: 6 }),
      fc.constantFrom(' ', '  ', '    '),
      (nodes, step) => {
        if (checked(written(nodes, '', false, step))) plain += 1
      },
    ),
    { numRuns: 20_000 },
  )
  assert.ok(plain > 3_000, String(plain))
  fc.assert(
    fc.property(batches('yaml'), (all) => {
      for (const each of all.split('---\n')) checked(each)
    }),
    { numRuns: 30 },
  )
})

const word = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9+/=.:_-]{0,12}$/),
  fc.constantFrom(
    'true',
    '12',
    '0x1',
    '1e3',
    '',
    '3.13.2',
    '~',
    'a b',
    'x\ny\n',
    '-----B\nc\n',
    'é',
    '1.5',
    '+1',
  ),
)
const fields = fc.dictionary(fc.stringMatching(/^[a-z_]{1,6}$/), word, {
  maxKeys: 4,
  noNullPrototype: true,
})
const metadata = fc.dictionary(
  fc.stringMatching(/^[a-z_]{1,6}$/),
  fc.oneof(
    word,
    fc.boolean(),
    fc.nat(),
    fields,
    fc.array(fields, { maxLength: 3 }),
    fc.array(word, { maxLength: 3 }),
  ),
  { maxKeys: 5, noNullPrototype: true },
)

test('a block of metadata that it takes it reads as the library does', () => {
  let plain = 0
  const options = fc.record({ indent: fc.constantFrom(2, 4), indentSeq: fc.boolean() })
  fc.assert(
    fc.property(metadata, options, fc.boolean(), (sops, how, isCut) => {
      const full = stringify({ sops }, { ...how, lineWidth: 0, schema: 'core' })
      // Lines that are gone make other documents of it, or none.
      const text = isCut ? full.replace(/\n[^\n]*\n/, '\n') : full
      const read = readPlainMetadata(text)
      if (read === undefined) return
      plain += 1
      assert.deepEqual(
        read,
        parse(text, { schema: 'core', version: '1.2', logLevel: 'error' }),
        text,
      )
    }),
    { numRuns: 5_000 },
  )
  assert.ok(plain > 1_000, String(plain))
})
