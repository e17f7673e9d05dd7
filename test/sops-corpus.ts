/** Generated documents in all formats, many to a file: a process of the real `sops` is what costs time. */
import fc from 'fast-check'
import type { FormatName } from '../src/sops/document.ts'

/** Documents in one file. */
export const BATCH = 50

const key = fc
  .stringMatching(/^[a-z][a-zA-Z0-9_-]{0,11}$/)
  .filter((text) => !/^(sops|null|true|false)/.test(text))
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.string({ maxLength: 30 }),
  fc.array(fc.string({ maxLength: 20 }), { maxLength: 4 }).map((lines) => lines.join('\n')),
  fc.constantFrom(
    'true',
    '0777',
    '1e3',
    'null',
    '~',
    '2020-01-01',
    ' a ',
    '"',
    "'",
    '# x',
    'a: b',
    '- a',
    '<&>',
    'é\u2028',
    '\u0085',
  ),
)
const leaf = fc.oneof(
  { weight: 4, arbitrary: text },
  fc.boolean(),
  fc.constant(null),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Object.is(value, -0)),
)
type Tree = fc.JsonValue | bigint | readonly Tree[] | { readonly [key: string]: Tree }
const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(key, tie('tree'), { maxKeys: 4, noNullPrototype: true }),
  ),
}))
const object = fc.dictionary(key, tree, { minKeys: 1, maxKeys: 5, noNullPrototype: true })

function json(value: unknown): string {
  if (typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return `[${value.map(json).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([name, each]) => `${JSON.stringify(name)}: ${json(each)}`)
      .join(', ')}}`
  }
  return typeof value === 'number' ? number(value) : JSON.stringify(value)
}

/** A float stays one: go-yaml reads `5` as a whole number. */
function number(value: number): string {
  const written = String(value)
  return /^-?\d+$/.test(written) ? `${written}.0` : written
}

function yaml(value: object, indent = ''): string {
  return Object.entries(value)
    .map(([name, each]: [string, unknown]) => {
      const comment = name.length % 5 === 0 ? `${indent}# about ${name}\n` : ''
      if (Array.isArray(each) && each.length > 0) {
        const items = each.map((item: unknown) => `${indent}  - ${yamlScalar(item)}\n`)
        return `${comment}${indent}${name}:\n${items.join('')}`
      }
      if (typeof each === 'object' && each !== null && Object.keys(each).length > 0) {
        return `${comment}${indent}${name}:\n${yaml(each, `${indent}  `)}`
      }
      return `${comment}${indent}${name}:  ${yamlScalar(each)}${typeof each !== 'object' && name.length % 7 === 0 ? ' # inline' : ''}\n`
    })
    .join('')
}

function yamlScalar(value: unknown): string {
  return json(value).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

const line = fc
  .string({ unit: 'grapheme', maxLength: 25 })
  .map((value) => value.replace(/[\n\r\0]|\\n/g, ' '))
const iniValue = fc.stringMatching(/^[A-Za-z0-9/+.,:=@ _-]{0,25}$/).map((value) => value.trim())

/** Documents for one file each: a stream of YAML, members of one object, sections, lines. */
export function batches(format: FormatName): fc.Arbitrary<string> {
  const many = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
    fc.array(one, { minLength: BATCH, maxLength: BATCH, size: 'max' })
  switch (format) {
    case 'yaml':
      return many(object).map((all) => all.map((each) => yaml(each)).join('---\n'))
    case 'json':
      return many(object).map(
        (all) => `${json(Object.fromEntries(all.map((each, index) => [`d${index}`, each])))}\n`,
      )
    case 'dotenv':
      return many(line).map((all) =>
        all
          .map((value, index) => `${index % 3 === 0 ? '# note\n' : ''}KEY_${index}=${value}\n`)
          .join(''),
      )
    case 'ini':
      return many(fc.dictionary(key, iniValue, { minKeys: 1, maxKeys: 4 })).map((all) =>
        all
          .map(
            (each, index) =>
              `[s${index}]\n${Object.entries(each)
                .map(([name, value]) => `; on ${name}\n${name} = ${value}\n`)
                .join('')}`,
          )
          .join(''),
      )
    case 'binary':
      return fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
  }
}
