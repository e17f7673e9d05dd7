/** What ours writes the real `sops` reads, and the other way round. One process reads a batch of documents: a stream of YAML, members of one object, sections. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption'
import fc from 'fast-check'
import { build, cacheFolder, type Build } from '../../test/cluster/builds.ts'
import { minimalEnv, ProgramError, run, runToEnd } from '../lib/process.ts'
import type { Keys, MasterKey } from './data-key.ts'
import { ageIdentities } from './keys/age.ts'
import type { FormatName } from './document.ts'
import { formatOf } from './format-of.ts'
import { textOf, type Scalar } from './scalar.ts'
import { DEFAULT_SELECTOR, type Selector } from './selector.ts'
import { decryptFile, encryptAgain, encryptFile, rotateFile, type FileRule } from './sops-file.ts'

const SOPS: Build = {
  module: 'sops',
  programs: { sops: 'github.com/getsops/sops/v3/cmd/sops' },
  versionOf: 'github.com/getsops/sops/v3',
  isStatic: false,
}
const SOURCES = { now: () => Date.UTC(2026, 4, 22, 20, 16, 18), random: randomBytes }
const BATCH = 50
const ENDINGS: Readonly<Record<FormatName, string>> = {
  yaml: 'yaml',
  json: 'json',
  dotenv: 'env',
  ini: 'ini',
  binary: 'bin',
}

async function lacksSops(): Promise<string | false> {
  try {
    return (await runToEnd('go', ['version'])).code === 0 ? false : 'needs Go to build sops'
  } catch (error) {
    if (error instanceof ProgramError) return 'needs Go to build sops'
    throw error
  }
}

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

function batches(format: FormatName): fc.Arbitrary<string> {
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

type Facts = readonly (readonly [string, string, string])[]

function facts(name: FormatName, document: string): Facts {
  return formatOf(`x.${ENDINGS[name]}`)
    .read(document)
    .leaves.filter(({ scalar }) => scalar.type !== 'comment')
    .map(({ at, scalar }) => [
      JSON.stringify(at),
      typeOf(scalar),
      name === 'binary' ? scalar.bytes.toString('latin1') : textOf(scalar),
    ])
}

/** sops writes 1.0 as 1: the MAC has the same bytes for both. */
function typeOf({ type }: Scalar): string {
  return type === 'float' || type === 'int' ? 'number' : type
}

describe('the real sops', { skip: await lacksSops(), timeout: 900_000 }, () => {
  let folder = ''
  let program = ''
  let identity = ''
  let identities: Keys
  let recipient: MasterKey
  let rule: FileRule

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fairway-sops-'))
    const built = await build(SOPS, cacheFolder(process.env), (line) => console.log(line))
    program = join(built.folder, 'sops')
    identity = await generateX25519Identity()
    identities = ageIdentities(identity)
    recipient = { type: 'age', id: await identityToRecipient(identity) }
    rule = {
      groups: [[recipient]],
      threshold: 0,
      selector: DEFAULT_SELECTOR,
      macOnlyEncrypted: false,
    }
  })
  after(() => rm(folder, { recursive: true, force: true }))

  const sops = (args: readonly string[], keys = identity): Promise<string> =>
    run(program, args, {
      env: { ...minimalEnv(), SOPS_AGE_KEY: keys, XDG_CONFIG_HOME: folder },
      cwd: folder,
      maxOutput: 1 << 26,
    })

  async function theirs(
    name: FormatName,
    plain: string,
    options: readonly string[] = [],
  ): Promise<string> {
    const path = await file(name, plain)
    // The flags of comment selectors exist in this older form of the command alone.
    await sops(['--encrypt', '--age', recipient.id, ...options, '--in-place', path])
    return readFile(path, name === 'binary' ? 'latin1' : 'utf8')
  }

  async function opened(name: FormatName, encrypted: string, keys = identity): Promise<string> {
    const path = await file(name, encrypted)
    await sops(['decrypt', '--in-place', path], keys)
    return readFile(path, name === 'binary' ? 'latin1' : 'utf8')
  }

  async function file(name: FormatName, content: string): Promise<string> {
    const path = join(folder, `${randomBytes(6).toString('hex')}.${ENDINGS[name]}`)
    await writeFile(path, content, name === 'binary' ? 'latin1' : 'utf8')
    return path
  }

  const runs: Readonly<Record<FormatName, number>> = {
    yaml: 12,
    json: 12,
    dotenv: 8,
    ini: 8,
    binary: 25,
  }
  for (const name of ['yaml', 'json', 'dotenv', 'ini', 'binary'] as const) {
    test(`${name}: both ways, ${runs[name] * (name === 'binary' ? 1 : BATCH)} documents`, async () => {
      const format = formatOf(`x.${ENDINGS[name]}`)
      await fc.assert(
        fc.asyncProperty(batches(name), async (plain) => {
          const wanted = facts(name, plain)
          const ours = await encryptFile(format, plain, rule, SOURCES)
          const back = await decryptFile(format, ours, identities)
          assert.deepEqual(facts(name, back.text), wanted)
          assert.equal(
            encryptAgain(format, back.text, back, { ...SOURCES, random: () => Buffer.alloc(32) })
              .length,
            ours.length,
          )
          // Its MAC and additional data cover values and paths; what go-yaml prints in clear is not always YAML (`|4-` in nested lists).
          const clear = await opened(name, ours)
          if (name !== 'yaml') assert.deepEqual(facts(name, clear), wanted)
          const read = await decryptFile(format, await theirs(name, plain), identities)
          assert.deepEqual(facts(name, read.text), wanted)
        }),
        { numRuns: runs[name], endOnFailure: true },
      )
    })
  }

  const SELECTED =
    'a_plain: 1\n# SECRET\nb: x # tail\nc:\n  # inner\n  - d\n  - k_plain: e\nf_enc: y\n'
  const selectors: readonly Selector[] = [
    { name: 'unencrypted_suffix', value: '_plain' },
    { name: 'encrypted_suffix', value: '_enc' },
    { name: 'unencrypted_regex', value: '^(?i:A)_' },
    { name: 'encrypted_regex', value: '(?i)^[b-c]$' },
    { name: 'unencrypted_comment_regex', value: 'SECRET' },
    { name: 'encrypted_comment_regex', value: 'SECRET' },
  ]
  for (const selector of selectors) {
    for (const macOnlyEncrypted of [false, true]) {
      test(`${selector.name}${macOnlyEncrypted ? ' with mac_only_encrypted' : ''}`, async () => {
        const format = formatOf('x.yaml')
        const ours = await encryptFile(
          format,
          SELECTED,
          { ...rule, selector, macOnlyEncrypted },
          SOURCES,
        )
        const wanted = facts('yaml', SELECTED)
        assert.deepEqual(facts('yaml', await opened('yaml', ours)), wanted)
        const option = `--${selector.name.replaceAll('_', '-')}`
        const encrypted = await theirs('yaml', SELECTED, [
          option,
          selector.value,
          ...(macOnlyEncrypted ? ['--mac-only-encrypted'] : []),
        ])
        assert.deepEqual(
          facts('yaml', (await decryptFile(format, encrypted, identities)).text),
          wanted,
        )
        // sops writes the comments of a list as items, so positions in lists differ.
        const values = (document: string): string[] =>
          facts('yaml', document).flatMap(([at, , value]) =>
            value.startsWith('ENC[') && !value.endsWith('type:comment]')
              ? [at.replace(/\d+/g, '#')]
              : [],
          )
        assert.deepEqual(values(ours), values(encrypted))
      })
    }
  }

  test('key groups, several recipients and post-quantum keys', async () => {
    const format = formatOf('x.yaml')
    const hybrid = await generateHybridIdentity()
    const third = await generateX25519Identity()
    const keys = await Promise.all(
      [identity, hybrid, third].map(async (each) => ({
        type: 'age' as const,
        id: await identityToRecipient(each),
      })),
    )
    const groups = keys.map((each) => [each])
    const ours = await encryptFile(format, 'a: b\n', { ...rule, groups, threshold: 2 }, SOURCES)
    assert.equal(await opened('yaml', ours, `${hybrid}\n${third}`), 'a: b\n')
    assert.equal(
      (await decryptFile(format, ours, ageIdentities(`${identity}\n${third}`))).text,
      'a: b\n',
    )
    await assert.rejects(decryptFile(format, ours, ageIdentities(third)), { code: 'NO_KEY' })
    const all = await rotateFile(
      format,
      await decryptFile(format, ours, ageIdentities(`${identity} ${hybrid}`)),
      [keys],
      SOURCES,
    )
    assert.equal(await opened('yaml', all, hybrid), 'a: b\n')
  })
})
