import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { holdsPrivateKey } from './private-key.ts'

const holds = (text: string): boolean => holdsPrivateKey(Buffer.from(text))
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const sec1 = privateKey.export({ type: 'sec1', format: 'pem' }).toString()
const encrypted = generateKeyPairSync('rsa', { modulusLength: 1024 })
  .privateKey.export({ type: 'pkcs1', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'x' })
  .toString()
const age = `AGE-SECRET-KEY-1${'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L'.repeat(2).slice(0, 58)}`

for (const [what, text] of Object.entries({
  'PKCS #8': pkcs8,
  'SEC 1': sec1,
  'PKCS #1, encrypted, with fields': encrypted,
  'line ends of Windows': pkcs8.replaceAll('\n', '\r\n'),
  'behind other text': `# my notes\n\n${pkcs8}`,
  'in JSON': JSON.stringify({ type: 'service_account', private_key: pkcs8 }),
  'in a program': `const key = \`${pkcs8}\``,
  'in a program, line by line': pkcs8
    .trim()
    .split('\n')
    .map((line) => `'${line}\\n'`)
    .join(' +\n'),
  age: `# created: 2026-01-01T00:00:00Z\n# public key: age1xyz\n${age}\n`,
})) {
  test(`a private key: ${what}`, () => {
    assert.equal(holds(text), true)
  })
}

for (const [what, text] of Object.entries({
  'a public key': publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  'a program that reads keys': `if (text.startsWith('-----BEGIN PRIVATE KEY-----')) return parse(text)`,
  'a program that writes keys':
    'return `-----BEGIN RSA PRIVATE KEY-----\\n${base64}\\n-----END RSA PRIVATE KEY-----`',
  'a manual':
    'It looks like this:\n\n-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n',
  'the prefix of age': `const PREFIX = 'AGE-SECRET-KEY-1'`,
  nothing: '',
})) {
  test(`no private key: ${what}`, () => {
    assert.equal(holds(text), false)
  })
}

test('a file full of the words costs little', () => {
  const text = '-----BEGIN PRIVATE KEY-----\n'.repeat(40_000)
  const before = process.cpuUsage()
  assert.equal(holds(text), false)
  const { user, system } = process.cpuUsage(before)
  assert.ok(user + system < 500_000, `${String(user + system)} µs`)
})
