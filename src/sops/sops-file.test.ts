import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { ageIdentities } from './keys/age.ts'
import { formatOf } from './format-of.ts'
import { DEFAULT_SELECTOR } from './selector.ts'
import { SopsError } from './sops-error.ts'
import {
  decryptFile,
  encryptAgain,
  encryptFile,
  type FileRule,
  type OpenValue,
} from './sops-file.ts'

const identity = await generateX25519Identity()
const identities = ageIdentities(identity)
const rule: FileRule = {
  groups: [[{ type: 'age', id: await identityToRecipient(identity) }]],
  threshold: 0,
  selector: DEFAULT_SELECTOR,
  macOnlyEncrypted: false,
}
const sources = { now: () => Date.UTC(2026, 4, 22, 20, 16, 18), random: randomBytes }

const PLAIN: Readonly<Record<string, string>> = {
  'a.yaml':
    '# head\na:   "x"   # tail\n\nb:\n    - 1\n    - {c: true, d: [2.5, ~]}\n  # odd\ne: |\n   two\n   lines\n\nf_unencrypted: 2020-01-01\n',
  'a.json': '{"a": "x",\n  "b": [1, 2.0, null, {"c": true}],\n "d": {} }\n',
  'a.env': '# head\nA=x\n\nB=two\\nlines\nC=\n',
  'a.ini': '; head\n[s]\na   = x\n; on b\nb=y\n\n[t]\nc : z\n',
  'a.bin': '\u0000\u00ff any\nbytes',
}

for (const [name, plain] of Object.entries(PLAIN)) {
  const format = formatOf(name)
  const encrypted = await encryptFile(format, plain, rule, sources)

  test(`${name}: back as it was, and again with only what changed`, async () => {
    const file = await decryptFile(format, encrypted, identities)
    if (name === 'a.yaml')
      assert.match(
        file.text,
        /^# head\na: {3}x {3}# tail\n\nb:\n {4}- 1\n {4}- \{c: true, d: \[2\.5, ~\]\}\n/,
      )
    else assert.equal(file.text, plain)
    assert.deepEqual((await file.values()).map(shown), await values(name, file.text))
    const again = await encryptAgain(format, file.text, file, sources)
    const differing = again
      .split('\n')
      .filter((line, index) => line !== encrypted.split('\n')[index])
    assert.deepEqual(
      differing.filter((line) => !/mac/.test(line)),
      [],
    )
  })

  test(`${name}: a change of any one byte is refused or changes no value`, async () => {
    const wanted = await values(name, (await decryptFile(format, encrypted, identities)).text)
    const block = encrypted.search(/"?sops"?(:|_)|\[sops\]/)
    // Every byte of the values, and of the sops block those that are not the wrapped key.
    for (let at = 0; at < encrypted.length; at++) {
      if (encrypted[at] === '\n' || (at > block && at % 7 !== 0)) continue
      if (
        name === 'a.yaml' &&
        encrypted.slice(encrypted.lastIndexOf('\n', at) + 1).startsWith('f_unencrypted')
      )
        continue
      const other = String.fromCharCode(encrypted.charCodeAt(at) ^ 1)
      const changed = encrypted.slice(0, at) + other + encrypted.slice(at + 1)
      try {
        const opened = await decryptFile(format, changed, identities)
        assert.deepEqual(
          await values(name, opened.text),
          wanted,
          `byte ${at}: ${JSON.stringify(encrypted.slice(at - 10, at + 10))}`,
        )
      } catch (error) {
        if (!(error instanceof SopsError)) throw error
      }
    }
  })
}

test('a file for other keys is refused by naming them', async () => {
  const encrypted = await encryptFile(formatOf('a.yaml'), 'a: b\n', rule, sources)
  const other = ageIdentities(await generateX25519Identity())
  await assert.rejects(decryptFile(formatOf('a.yaml'), encrypted, other), {
    code: 'NO_KEY',
    message: /age age1/,
  })
  const kms = encrypted.replace(
    / {4}age:[\s\S]*?(?= {4}lastmodified)/,
    '    kms:\n      - arn: arn:aws:kms:x\n        created_at: "2026-05-22T20:16:18Z"\n        enc: AAAA\n',
  )
  await assert.rejects(decryptFile(formatOf('a.yaml'), kms, identities), {
    code: 'NO_KEY',
    message: /AWS KMS arn:aws:kms:x: keys of AWS KMS are not supported here/,
  })
  await assert.rejects(decryptFile(formatOf('a.yaml'), 'a: b\n', identities), {
    code: 'INVALID_METADATA',
  })
})

test('of several groups all are needed unless a threshold says otherwise, and the file says how many', async () => {
  const group = rule.groups[0] ?? []
  for (const [threshold, written] of [
    [0, /shamir_threshold: 3\n/],
    [2, /shamir_threshold: 2\n/],
  ] as const) {
    const groups = [group, group, group]
    const text = await encryptFile(
      formatOf('a.yaml'),
      'a: b\n',
      { ...rule, groups, threshold },
      sources,
    )
    assert.match(text, written)
    assert.equal((await decryptFile(formatOf('a.yaml'), text, identities)).text, 'a: b\n')
  }
  const single = await encryptFile(formatOf('a.yaml'), 'a: b\n', rule, sources)
  assert.doesNotMatch(single, /shamir_threshold/)
})

async function values(name: string, text: string): Promise<string[]> {
  const { leaves } = await formatOf(name).read(text)
  return leaves.filter(({ scalar }) => scalar.type !== 'comment').map(shown)
}

function shown({ at, scalar }: OpenValue): string {
  return `${JSON.stringify(at)} ${scalar.type} ${scalar.bytes.toString('hex')}`
}
