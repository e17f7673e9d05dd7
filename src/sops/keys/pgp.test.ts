import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { generateKey, readKey } from 'openpgp'
import { pgpKind } from './pgp.ts'

async function key(passphrase?: string): Promise<{ readonly fp: string; readonly pem: string }> {
  const { privateKey, publicKey } = await generateKey({
    userIDs: [{ name: 'Shop', email: 'shop@example.com' }],
    ...(passphrase === undefined ? {} : { passphrase }),
  })
  const fp = (await readKey({ armoredKey: publicKey })).getFingerprint().toUpperCase()
  return { fp, pem: privateKey }
}

function kind(keys: string | null): ReturnType<typeof pgpKind> {
  return pgpKind({ keys: () => Promise.resolve(keys), gpg: '/nonexistent/gpg', env: {} })
}

test('wraps and opens with keys of a file, without gpg', async () => {
  const bytes = randomBytes(32)
  const [own, other, locked] = await Promise.all([key(), key(), key('passphrase')])
  const { enc } = await kind(`${other.pem}\n${own.pem}`).wrap({ fp: own.fp }, bytes)
  assert.deepEqual(
    await kind(`${other.pem}\n${own.pem}`).unwrap({ fp: own.fp, enc: text(enc) }),
    bytes,
  )
  // Not in the file: gpg is next, and it is not there.
  await assert.rejects(kind(other.pem).unwrap({ fp: own.fp, enc: text(enc) }), {
    code: 'KEY_FAILED',
    message: /need the program/,
  })
  const wrapped = await kind(locked.pem).wrap({ fp: locked.fp }, bytes)
  await assert.rejects(kind(locked.pem).unwrap({ fp: locked.fp, enc: text(wrapped['enc']) }), {
    code: 'UNSUPPORTED',
    message: /has a passphrase/,
  })
})

test('what is no fingerprint never becomes an argument of gpg', async () => {
  for (const fp of ['--version', '', 'ABCD', `${'A'.repeat(40)} --x`]) {
    await assert.rejects(kind(null).wrap({ fp }, Buffer.alloc(32)), { code: 'INVALID_KEY' })
  }
})

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
