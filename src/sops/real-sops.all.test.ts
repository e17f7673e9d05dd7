/** What ours writes the real `sops` reads, and the other way round, over generated documents in all formats for all kinds of keys. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption'
import fc from 'fast-check'
import { ENDINGS, KEY_SETS, lacks, SopsBed } from '../../test/sops-bed.ts'
import { BATCH, batches } from '../../test/sops-corpus.ts'
import { creationRule } from './creation-rules.ts'
import { masterKeyOf, type MasterKey } from './data-key.ts'
import { run } from '../lib/process.ts'
import { ageIdentities, ageKind } from './keys/age.ts'
import type { KeyKind } from './keys/key-kind.ts'
import type { FormatName } from './document.ts'
import { formatOf } from './format-of.ts'
import type { Metadata } from './metadata.ts'
import { textOf, type Scalar } from './scalar.ts'
import { DEFAULT_SELECTOR, type Selector } from './selector.ts'
import {
  decryptFile,
  encryptAgain,
  encryptFile,
  rotateFile,
  type FileRule,
  type OpenValue,
} from './sops-file.ts'

const SOURCES = { now: () => Date.UTC(2026, 4, 22, 20, 16, 18), random: randomBytes }
/** Files of each format for each kind of key: `BATCH` documents each, of the binary format one. */
const FILES: Readonly<Record<FormatName, number>> = {
  yaml: 1,
  json: 1,
  dotenv: 1,
  ini: 1,
  binary: 3,
}

type Facts = readonly (readonly [string, string, string])[]

async function facts(name: FormatName, document: string): Promise<Facts> {
  const { leaves } = await formatOf(`x.${ENDINGS[name]}`).read(document)
  const values = leaves.filter(({ scalar }) => scalar.type !== 'comment')
  return factsOf(name, values)
}

function factsOf(name: FormatName, values: readonly OpenValue[]): Facts {
  return values.map(({ at, scalar }) => [
    JSON.stringify(at),
    typeOf(scalar),
    name === 'binary' ? scalar.bytes.toString('latin1') : textOf(scalar),
  ])
}

/** sops writes 1.0 as 1: the MAC has the same bytes for both. */
function typeOf({ type }: Scalar): string {
  return type === 'float' || type === 'int' ? 'number' : type
}

/** How a file names its readers, without what wraps the data key. */
function readers({ groups, threshold }: Pick<Metadata, 'groups' | 'threshold'>): unknown {
  const names = groups.map((group) => group.map((key) => masterKeyOf(key).names).map(sorted))
  return { threshold, groups: names }
}

function sorted(names: object = {}): string {
  return JSON.stringify(Object.entries(names).sort(([a], [b]) => (a < b ? -1 : 1)))
}

const lacking = new Map(
  await Promise.all(KEY_SETS.map(async ([set, needed]) => [set, await lacks(...needed)] as const)),
)

describe('the real sops', { skip: await lacks('go'), timeout: 900_000 }, () => {
  let bed: SopsBed
  before(async () => {
    bed = await SopsBed.open()
  })
  after(() => bed.close())

  for (const [set] of KEY_SETS) {
    describe(set, { skip: lacking.get(set) ?? false }, () => {
      for (const name of ['yaml', 'json', 'dotenv', 'ini', 'binary'] as const) {
        const count = FILES[name] * (name === 'binary' ? 1 : BATCH)
        test(`${name}: both ways, ${count} documents`, async () => {
          const format = formatOf(`x.${ENDINGS[name]}`)
          const rule = creationRule(bed.rules(set), 'x')
          assert.ok(rule !== null)
          const sources = { ...SOURCES, keys: bed.keys }
          await fc.assert(
            fc.asyncProperty(batches(name), async (plain) => {
              const wanted = await facts(name, plain)
              const ours = await encryptFile(format, plain, rule, sources)
              const back = await decryptFile(format, ours, bed.keys)
              assert.deepEqual(await facts(name, back.text), wanted)
              assert.deepEqual(factsOf(name, await back.values()), wanted)
              assert.equal(
                (
                  await encryptAgain(format, back.text, back, {
                    ...sources,
                    random: () => Buffer.alloc(32),
                  })
                ).length,
                ours.length,
              )
              // Its MAC and additional data cover values and paths; what go-yaml prints in clear is not always YAML (`|4-` in nested lists).
              const clear = await bed.opened(name, ours)
              if (name !== 'yaml') assert.deepEqual(await facts(name, clear), wanted)
              const theirs = await bed.encryptedBy(set, name, plain)
              const read = await decryptFile(format, theirs, bed.keys)
              assert.deepEqual(await facts(name, read.text), wanted)
              assert.deepEqual(factsOf(name, await read.values()), wanted)
              assert.deepEqual(readers(read.metadata), readers(back.metadata))
            }),
            { numRuns: FILES[name], endOnFailure: true },
          )
        })
      }

      test('the real one wraps a new data key for the readers that ours wrote', async () => {
        const format = formatOf('x.yaml')
        const rule = creationRule(bed.rules(set), 'x')
        assert.ok(rule !== null)
        const ours = await encryptFile(format, 'a: one\n', rule, { ...SOURCES, keys: bed.keys })
        const rotated = await bed.rotated('yaml', ours)
        assert.notEqual(rotated, ours)
        assert.equal((await decryptFile(format, rotated, bed.keys)).text, 'a: one\n')
      })
    })
  }

  describe('ssh keys with a passphrase', { skip: lacking.get('ssh-rsa') ?? false }, () => {
    for (const [name, options] of [
      ['ed25519', ['-t', 'ed25519']],
      ['rsa', ['-t', 'rsa', '-b', '2048']],
      ['rsa as PEM', ['-t', 'rsa', '-b', '2048', '-m', 'PEM']],
    ] as const) {
      test(`${name}: what the real one wrote for its public half`, async () => {
        const format = formatOf('x.yaml')
        const { keys, line, asked } = await lockedKey(bed, options)
        const theirs = await bed.encrypted('yaml', 'a: one\n', ['--age', line])
        assert.equal((await decryptFile(format, theirs, keys)).text, 'a: one\n')
        assert.equal(asked(), 1)
      })
    }
  })

  describe('with a key of age', () => {
    let identity = ''
    let recipient: MasterKey
    let rule: FileRule
    before(async () => {
      identity = await generateX25519Identity()
      recipient = { type: 'age', id: await identityToRecipient(identity) }
      rule = {
        ...{ groups: [[recipient]], threshold: 0 },
        ...{ selector: DEFAULT_SELECTOR, macOnlyEncrypted: false },
      }
    })
    const opened = (name: FormatName, text: string, keys = identity): Promise<string> =>
      bed.opened(name, text, { SOPS_AGE_KEY: keys })

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
          const wanted = await facts('yaml', SELECTED)
          assert.deepEqual(await facts('yaml', await opened('yaml', ours)), wanted)
          const option = `--${selector.name.replaceAll('_', '-')}`
          const encrypted = await bed.encrypted('yaml', SELECTED, [
            '--age',
            recipient.id,
            option,
            selector.value,
            ...(macOnlyEncrypted ? ['--mac-only-encrypted'] : []),
          ])
          const file = await decryptFile(format, encrypted, ageIdentities(identity))
          assert.deepEqual(await facts('yaml', file.text), wanted)
          assert.deepEqual(factsOf('yaml', await file.values()), wanted)
          // sops writes the comments of a list as items, so positions in lists differ.
          const values = async (document: string): Promise<string[]> =>
            (await facts('yaml', document)).flatMap(([at, , value]) =>
              value.startsWith('ENC[') && !value.endsWith('type:comment]')
                ? [at.replace(/\d+/g, '#')]
                : [],
            )
          assert.deepEqual(await values(ours), await values(encrypted))
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
})

/** A new key of ssh whose owner is asked for its passphrase. */
async function lockedKey(
  bed: SopsBed,
  options: readonly string[],
): Promise<{ readonly keys: KeyKind; readonly line: string; readonly asked: () => number }> {
  const path = join(bed.folder, `locked-${randomBytes(6).toString('hex')}`)
  const words = ['-q', ...options, '-N', 'a passphrase', '-C', '', '-f', path]
  await run('ssh-keygen', words, { env: bed.env })
  const [text, line] = [await readFile(path, 'utf8'), await readFile(`${path}.pub`, 'utf8')]
  let questions = 0
  const keys = ageKind({
    identities: () => Promise.resolve(''),
    sshKeys: () => Promise.resolve([{ name: path, text, publicLine: () => Promise.resolve(line) }]),
    passphrase: () => {
      questions++
      return Promise.resolve({ revealText: () => 'a passphrase' })
    },
  })
  return { keys, line: line.trim(), asked: () => questions }
}
