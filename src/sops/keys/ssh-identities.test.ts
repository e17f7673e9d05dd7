import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import {
  ED25519_CHACHA,
  ED25519_LINE,
  ED25519_LOCKED,
  ED25519_OPEN,
  PASSPHRASE,
  RSA_LINE,
  RSA_LOCKED,
  RSA_OPEN,
} from '../../../test/locked-ssh-keys.ts'
import { unwrapDataKey, wrapDataKey } from '../data-key.ts'
import type { WrappedKey } from '../metadata.ts'
import { ageIdentities, ageKind } from './age.ts'
import type { KeyKind } from './key-kind.ts'
import { textField } from './key-names.ts'
import type { SshKeyFile } from './ssh-identities.ts'
import { positive, sshString } from './ssh-wire.ts'

const dataKey = randomBytes(32)
const SOURCES = { random: randomBytes, now: Date.now }
const LOCKED = ED25519_LOCKED['aes128-ctr'] ?? ''
/** The same key, locked in another way: another file. */
const AGAIN = ED25519_LOCKED['aes128-cbc'] ?? ''
const WRONG = ['wrong-1', 'wrong-2', 'wrong-3']

test('a locked key opens what is for it, once its passphrase was given', async () => {
  for (const [line, text] of [
    [ED25519_LINE, LOCKED],
    ...Object.values(RSA_LOCKED).map((each) => [RSA_LINE, each] as const),
  ] as const) {
    const person = new Person([file('~/.ssh/mine', text)], [PASSPHRASE])
    assert.deepEqual(await unwrapDataKey(await wrapped([line]), 0, person.keys), dataKey)
    assert.deepEqual(person.asked, ['~/.ssh/mine'])
  }
})

test('a wrong passphrase is asked for anew, three times in all', async () => {
  const groups = await wrapped([ED25519_LINE])
  const third = new Person([file('mine', LOCKED)], [...WRONG.slice(0, 2), PASSPHRASE])
  assert.deepEqual(await unwrapDataKey(groups, 0, third.keys), dataKey)
  assert.equal(third.asked.length, 3)
  const never = new Person([file('mine', LOCKED)], [...WRONG, PASSPHRASE])
  await assert.rejects(unwrapDataKey(groups, 0, never.keys), (error: Error) => {
    assert.match(error.message, /^no identity here opens .*: wrong passphrase of mine, 3 times$/)
    assert.ok(!error.message.includes('wrong-'))
    return true
  })
  assert.equal(never.asked.length, 3)
  // Nor is it asked for again with the next file.
  await assert.rejects(unwrapDataKey(groups, 0, never.keys), { code: 'NO_KEY' })
  assert.equal(never.asked.length, 3)
})

test('an empty passphrase leaves that key out, and the next one is asked for', async () => {
  const both = [file('first', AGAIN), file('second', LOCKED)]
  const person = new Person(both, ['', PASSPHRASE])
  assert.deepEqual(await unwrapDataKey(await wrapped([ED25519_LINE]), 0, person.keys), dataKey)
  assert.deepEqual(person.asked, ['first', 'second'])
  const nothing = new Person(both, ['', ''])
  await assert.rejects(unwrapDataKey(await wrapped([ED25519_LINE]), 0, nothing.keys), {
    code: 'NO_KEY',
    message: /: the passphrase of first was not given$/,
  })
})

test('nobody is asked where another key opens the file, whatever the order', async () => {
  const identity = await generateX25519Identity()
  const recipient = await identityToRecipient(identity)
  for (const [readers, files] of [
    [[ED25519_LINE], [file('locked', LOCKED), file('open', ED25519_OPEN)]],
    [[RSA_LINE], [file('locked', RSA_LOCKED.PEM), file('open', RSA_OPEN)]],
    [
      [ED25519_LINE, RSA_LINE],
      [file('locked', LOCKED), file('open', RSA_OPEN)],
    ],
    [[ED25519_LINE, recipient], [file('locked', LOCKED)]],
    [[recipient, ED25519_LINE], [file('locked', LOCKED)]],
  ] as const) {
    const person = new Person(files, [], identity)
    assert.deepEqual(await unwrapDataKey(await wrapped(readers), 0, person.keys), dataKey)
  }
})

test('nobody is asked before a key of another kind was tried', async () => {
  const person = new Person([file('locked', LOCKED)], [])
  const pgp: KeyKind = {
    type: 'pgp',
    wrap: (_names, bytes) => Promise.resolve({ enc: bytes.toString('hex') }),
    unwrap: (fields) => Promise.resolve(Buffer.from(textField(fields, 'enc'), 'hex')),
  }
  const readers = [
    { type: 'age', id: ED25519_LINE },
    { type: 'pgp', id: '0123456789ABCDEF0123456789ABCDEF01234567' },
  ] as const
  const keys = [...person.keys, pgp]
  const groups = await wrapDataKey(dataKey, [readers], 0, { ...SOURCES, keys })
  assert.deepEqual(await unwrapDataKey(groups, 0, keys), dataKey)
})

test('nobody is asked for a key that the file is not for', async () => {
  const other = otherRsa()
  for (const [line, files] of [
    [ED25519_LINE, [file('rsa', RSA_LOCKED.OpenSSH), file('pem', RSA_LOCKED.PEM)]],
    [RSA_LINE, [file('ed25519', LOCKED)]],
    [other, [file('rsa', RSA_LOCKED.OpenSSH), file('pem', RSA_LOCKED.PEM, RSA_LINE)]],
  ] as const) {
    const person = new Person(files, [])
    await assert.rejects(unwrapDataKey(await wrapped([line]), 0, person.keys), {
      code: 'NO_KEY',
      message: /ssh-\S+ \S+$/,
    })
  }
})

test('an encrypted PEM without .pub does not say whose it is, so it is asked for wherever RSA would do', async () => {
  const groups = await wrapped([otherRsa()])
  for (const publicLine of [null, 'ssh-rsa AAAA', '']) {
    const person = new Person([file('pem', RSA_LOCKED.PEM, publicLine)], [PASSPHRASE])
    await assert.rejects(unwrapDataKey(groups, 0, person.keys), { code: 'NO_KEY' })
    assert.deepEqual(person.asked, ['pem'])
  }
})

test('once for all key groups, and for none where enough of them open by themselves', async () => {
  const identity = await generateX25519Identity()
  const recipient = await identityToRecipient(identity)
  const all = await wrapped([ED25519_LINE], [ED25519_LINE], [ED25519_LINE])
  const person = new Person([file('~/.ssh/a', LOCKED), file('/also/a', LOCKED)], [PASSPHRASE])
  assert.deepEqual(await unwrapDataKey(all, 0, person.keys), dataKey)
  assert.deepEqual(person.asked, ['~/.ssh/a'])
  const some = await wrapped([ED25519_LINE], [recipient], [RSA_LINE])
  const files = [file('locked', LOCKED), file('open', RSA_OPEN)]
  const spared = new Person(files, [], identity)
  assert.deepEqual(await unwrapDataKey(some, 2, spared.keys), dataKey)
  const needed = new Person(files, [PASSPHRASE], identity)
  assert.deepEqual(await unwrapDataKey(some, 3, needed.keys), dataKey)
})

test('keys are read once, also where they are needed twice', async () => {
  let read = 0
  const keys = ageKind({
    identities: () => Promise.resolve(''),
    sshKeys: () => {
      read++
      return Promise.resolve([file('mine', LOCKED)])
    },
    passphrase: () => Promise.resolve({ revealText: () => PASSPHRASE }),
  })
  assert.deepEqual(await unwrapDataKey(await wrapped([ED25519_LINE]), 0, keys), dataKey)
  assert.equal(read, 1)
})

test('where nobody can be asked the error says what can be done', async () => {
  await assert.rejects(
    unwrapDataKey(await wrapped([ED25519_LINE]), 0, ageIdentities('', [LOCKED])),
    {
      code: 'NO_KEY',
      message:
        /: ssh key 1 has a passphrase, and there is no terminal to ask for it; SOPS_AGE_SSH_PRIVATE_KEY_CMD can give an open copy, and an age key does without$/,
    },
  )
})

test('what no passphrase would open is refused by its name, and not asked for', async () => {
  for (const [text, reason] of [
    [ED25519_CHACHA, /: mine: .* its cipher is chacha20-poly1305@openssh\.com$/],
    [LOCKED.replace('b3Bl', 'b3Bm'), /: mine: ssh: the key is damaged$/],
  ] as const) {
    const person = new Person([file('mine', text)], [])
    await assert.rejects(unwrapDataKey(await wrapped([ED25519_LINE]), 0, person.keys), {
      code: 'NO_KEY',
      message: reason,
    })
  }
})

/** Who has these files, and gives these answers; a question more fails the test. */
class Person {
  readonly asked: string[] = []
  readonly keys: readonly KeyKind[]

  constructor(files: readonly SshKeyFile[], answers: readonly string[], identity = '') {
    this.keys = [
      ageKind({
        identities: () => Promise.resolve(identity),
        sshKeys: () => Promise.resolve(files),
        passphrase: (name) => {
          const answer = answers[this.asked.push(name) - 1]
          assert.ok(answer !== undefined, `asked for ${name}`)
          return Promise.resolve({ revealText: () => answer })
        },
      }),
    ]
  }
}

function file(name: string, text: string, publicLine: string | null = null): SshKeyFile {
  return { name, text, publicLine: () => Promise.resolve(publicLine) }
}

/** The data key for these groups of readers. */
function wrapped(...groups: readonly (readonly string[])[]): Promise<WrappedKey[][]> {
  const readers = groups.map((group) => group.map((id) => ({ type: 'age' as const, id })))
  return wrapDataKey(dataKey, readers, 2, { ...SOURCES, keys: ageIdentities('') })
}

function otherRsa(): string {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' })
  const [exponent, modulus] = [e, n].map((part) => Buffer.from(part, 'base64url'))
  const parts = ['ssh-rsa', exponent ?? '', positive(modulus ?? Buffer.alloc(0))]
  return `ssh-rsa ${Buffer.concat(parts.map(sshString)).toString('base64')}`
}
