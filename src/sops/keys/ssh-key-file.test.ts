import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
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
import { lacks } from '../../../test/sops-bed.ts'
import { minimalEnv, run } from '../../lib/process.ts'
import { SopsError } from '../sops-error.ts'
import { readSshKey } from './ssh-key-file.ts'
import { sshPublicKey, type LockedSshKey, type SshPrivateKey } from './ssh-key.ts'
import { sshString } from './ssh-wire.ts'

const QUICK = ED25519_LOCKED['aes128-ctr'] ?? ''

test('bcrypt is loaded by who unlocks a key, not by who reads one', async () => {
  const { cache } = createRequire(import.meta.url)
  const isLoaded = (): boolean => Object.keys(cache).some((path) => path.includes('/bcrypt-pbkdf/'))
  const key = locked(QUICK)
  assert.equal(isLoaded(), false)
  await key.unlock('x')
  assert.equal(isLoaded(), true)
})

test('every cipher of ssh-keygen but one: the right passphrase opens the key, another one does not', async () => {
  const open = unlocked(readSshKey(ED25519_OPEN))
  assert.deepEqual(open.wire, sshPublicKey(ED25519_LINE).wire)
  for (const [cipher, text] of Object.entries(ED25519_LOCKED)) {
    const key = locked(text)
    assert.deepEqual(key.publicKey, sshPublicKey(ED25519_LINE), cipher)
    assert.deepEqual(await key.unlock(PASSPHRASE), open, cipher)
    for (const wrong of [`${PASSPHRASE} `, ''])
      assert.equal(await key.unlock(wrong), null, `${cipher}: ${JSON.stringify(wrong)}`)
  }
})

test('RSA keys in all three formats', async () => {
  const { wire } = unlocked(readSshKey(RSA_OPEN))
  for (const [format, text] of Object.entries(RSA_LOCKED)) {
    const key = locked(text)
    assert.deepEqual(key.publicKey?.wire ?? null, format === 'OpenSSH' ? wire : null)
    const opened = await key.unlock(PASSPHRASE)
    assert.deepEqual(opened?.wire, sshPublicKey(RSA_LINE).wire, format)
    assert.equal(await key.unlock('another'), null, format)
    // Node takes no passphrase that long, and says so by an error of its own.
    assert.equal(await key.unlock('x'.repeat(5_000)), null, format)
  }
})

test('what ssh-keygen of this machine writes', { skip: await lacks('ssh-keygen') }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-ssh-key-'))
  try {
    for (const [name, options] of [
      ['ed25519', ['-t', 'ed25519']],
      ['rsa', ['-t', 'rsa', '-b', '3072']],
      ['pem', ['-t', 'rsa', '-b', '2048', '-m', 'PEM']],
      ['pkcs8', ['-t', 'rsa', '-b', '2048', '-m', 'PKCS8']],
    ] as const) {
      const path = join(folder, name)
      const words = ['-q', ...options, '-N', PASSPHRASE, '-C', 'me@here', '-f', path]
      await run('ssh-keygen', words, { env: minimalEnv() })
      const key = locked(await readFile(path, 'utf8'))
      const { wire } = sshPublicKey(await readFile(`${path}.pub`, 'utf8'))
      assert.deepEqual((await key.unlock(PASSPHRASE))?.wire, wire, name)
      assert.equal(await key.unlock('wrong'), null, name)
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('another cipher, another kdf and too many rounds are refused before anybody is asked', () => {
  refused(ED25519_CHACHA, 'UNSUPPORTED', /its cipher is chacha20-poly1305@openssh\.com$/)
  refused(withKdf('scrypt', bcrypt(16, 1)), 'UNSUPPORTED', /goes through scrypt$/)
  refused(withKdf('none', Buffer.alloc(0)), 'UNSUPPORTED', /goes through none$/)
  for (const rounds of [1_001, 2 ** 32 - 1])
    refused(withKdf('bcrypt', bcrypt(16, rounds)), 'UNSUPPORTED', /rounds of bcrypt, and 1000 are/)
  for (const [salt, rounds] of [
    [16, 0],
    [0, 1],
    [65, 1],
  ] as const)
    refused(withKdf('bcrypt', bcrypt(salt, rounds)), 'INVALID_KEY')
  refused(withKdf('bcrypt', Buffer.alloc(0)), 'INVALID_KEY')
  refused(withKdf('bcrypt', Buffer.concat([bcrypt(16, 1), Buffer.alloc(1)])), 'INVALID_KEY')
})

test('PEM: another cipher, another kdf and too many iterations are refused before anybody is asked', () => {
  const { PEM, PKCS8 } = RSA_LOCKED
  const info = (line: string): string => PEM.replace(/DEK-Info: .*/, `DEK-Info: ${line}`)
  refused(info('DES-CBC,869821C600EFF74E'), 'UNSUPPORTED', /by DES-CBC$/)
  refused(info('AES-128-CBC,86'), 'INVALID_KEY')
  refused(info('AES-128-CBC'), 'INVALID_KEY')
  refused(PEM.replace(/DEK-Info: .*\n/, ''), 'INVALID_KEY')
  refused(PEM.replaceAll('RSA', 'EC'), 'UNSUPPORTED', /EC PRIVATE KEY: age takes/)
  const der = Buffer.from(PKCS8.replaceAll(/-.*-/g, ''), 'base64')
  const changed = (from: string | RegExp, to: string): string =>
    pem('ENCRYPTED', Buffer.from(der.toString('hex').replace(from, to), 'hex'))
  assert.ok(locked(changed('', '')))
  // PBKDF2, then scrypt of the same length, then the scheme of PKCS #5 1.5; then its 2,048 iterations.
  refused(changed('2a864886f70d01050c', '2b06010401da47040b'), 'UNSUPPORTED', /than by PBKDF2/)
  refused(changed('2a864886f70d01050d', '2a864886f70d010503'), 'UNSUPPORTED', /than PBES2/)
  const slow = changed(/0408(.{12}).{4}02020800/, '0406$102047fffffff')
  refused(slow, 'UNSUPPORTED', /with more than 10000000 iterations/)
})

test('a part of a file is refused, and never shown', () => {
  for (const text of [QUICK, RSA_LOCKED.OpenSSH, RSA_LOCKED.PEM, RSA_LOCKED.PKCS8, RSA_OPEN]) {
    for (let length = 0; length < text.trimEnd().length; length++)
      refused(text.slice(0, length), 'INVALID_KEY')
  }
  for (const [label, text] of [
    ['OPENSSH', QUICK],
    ['OPENSSH', ED25519_OPEN],
    ['OPENSSH', RSA_LOCKED.OpenSSH],
    ['ENCRYPTED', RSA_LOCKED.PKCS8],
  ] as const) {
    const body = bodyOf(text)
    for (let length = 0; length < body.length; length++)
      refused(pem(label, body.subarray(0, length)), 'INVALID_KEY')
  }
  refused(QUICK + 'x'.repeat(1 << 16), 'INVALID_KEY')
})

test('a change of any byte is refused, asks for another passphrase, or changes nothing that counts', async () => {
  const sources = [QUICK, ED25519_LOCKED['3des-cbc'], ED25519_LOCKED['aes256-gcm@openssh.com']]
  const bodies = [...sources, RSA_LOCKED.OpenSSH].map((text = '') => bodyOf(text))
  const wires = [ED25519_LINE, RSA_LINE].map((line) => sshPublicKey(line).wire.toString('hex'))
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...bodies),
      fc.nat(1 << 12),
      fc.integer({ min: 1, max: 255 }),
      async (body, at, flip) => {
        const changed = Buffer.from(body)
        const place = at % body.length
        changed[place] = (changed[place] ?? 0) ^ flip
        try {
          const key = readSshKey(pem('OPENSSH', changed))
          const opened = 'unlock' in key ? await key.unlock(PASSPHRASE) : key
          if (opened !== null) assert.ok(wires.includes(opened.wire.toString('hex')))
        } catch (error) {
          assert.ok(error instanceof SopsError, String(error))
          assert.ok(!error.message.includes(PASSPHRASE))
        }
      },
    ),
    { numRuns: 150 },
  )
})

test('a damaged key is told from a wrong passphrase', async () => {
  // Under CTR a change of the sealed bytes changes the same bytes of the content: here the padding, which follows all else.
  const body = Buffer.from(bodyOf(QUICK))
  body[body.length - 1] = (body.at(-1) ?? 0) ^ 1
  await assert.rejects(locked(pem('OPENSSH', body)).unlock(PASSPHRASE), {
    code: 'INVALID_KEY',
    message: 'ssh: the key is damaged',
  })
  assert.equal(await locked(pem('OPENSSH', body)).unlock('another'), null)
})

function refused(text: string, code: string, message = /^/): void {
  assert.throws(
    () => readSshKey(text),
    (error: unknown) =>
      error instanceof SopsError && error.code === code && message.test(error.message),
    text.slice(0, 200),
  )
}

function locked(text: string): LockedSshKey {
  const key = readSshKey(text)
  assert.ok('unlock' in key)
  return key
}

function unlocked(key: SshPrivateKey | LockedSshKey): SshPrivateKey {
  assert.ok(!('unlock' in key))
  return key
}

function bodyOf(text: string): Buffer {
  return Buffer.from(text.replaceAll(/-----.*-----/g, ''), 'base64')
}

function pem(label: string, body: Buffer): string {
  const lines = body.toString('base64').replaceAll(/.{70}/g, '$&\n')
  return `-----BEGIN ${label} PRIVATE KEY-----\n${lines}\n-----END ${label} PRIVATE KEY-----\n`
}

/** The key of `QUICK` as if it had been locked in another way. */
function withKdf(kdf: string, options: Buffer): string {
  const body = bodyOf(QUICK)
  const [magic, cipher] = [Buffer.from('openssh-key-v1\0'), sshString('aes128-ctr')]
  const head = Buffer.concat([magic, cipher, sshString('bcrypt'), sshString(bcrypt(16, 1))])
  const rest = body.subarray(head.length)
  return pem('OPENSSH', Buffer.concat([magic, cipher, sshString(kdf), sshString(options), rest]))
}

function bcrypt(salt: number, rounds: number): Buffer {
  const last = Buffer.alloc(4)
  last.writeUInt32BE(rounds)
  return Buffer.concat([sshString(Buffer.alloc(salt, 7)), last])
}
