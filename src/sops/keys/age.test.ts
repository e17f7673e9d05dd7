import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import {
  armor,
  Decrypter,
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from 'age-encryption'
import fc from 'fast-check'
import { SopsError } from '../sops-error.ts'
import { ageIdentities, ageKind, checkAgeRecipient } from './age.ts'
import { sshString } from './ssh-wire.ts'

const bytes = randomBytes(33)

test('X25519 and post-quantum: what the library writes this opens, and the other way round', async () => {
  for (const generate of [generateX25519Identity, generateHybridIdentity]) {
    const identity = await generate()
    const recipient = await identityToRecipient(identity)
    const encrypter = new Encrypter()
    encrypter.addRecipient(recipient)
    const enc = armor.encode(await encrypter.encrypt(bytes))
    const kind = ageIdentities(`# mine\n${await generateX25519Identity()} ${identity}\n`)
    assert.deepEqual(await kind.unwrap({ recipient, enc }), bytes)
    const { enc: own } = await kind.wrap({ recipient }, bytes)
    const decrypter = new Decrypter()
    decrypter.addIdentity(identity)
    assert.deepEqual(Buffer.from(await decrypter.decrypt(armor.decode(text(own)))), bytes)
    const other = ageIdentities(await generate())
    assert.equal(await other.unwrap({ recipient, enc }), null)
  }
})

test('ssh-ed25519 and ssh-rsa keys, opened by their private key files alone', async () => {
  const ed25519 = sshEd25519()
  const rsa = sshRsa()
  for (const { line, pem } of [ed25519, rsa]) {
    const { enc } = await ageIdentities('').wrap({ recipient: line }, bytes)
    const fields = { recipient: line, enc: text(enc) }
    const keys = [sshEd25519().pem, ed25519.pem, sshRsa().pem, rsa.pem]
    assert.deepEqual(await ageIdentities('', keys).unwrap(fields), bytes)
    assert.equal(
      await ageIdentities(
        '',
        keys.filter((key) => key !== pem),
      ).unwrap(fields),
      null,
    )
  }
})

test('ssh keys are asked for only by ssh recipients, and age keys are told whom they are for', async () => {
  const identity = await generateX25519Identity()
  const recipient = await identityToRecipient(identity)
  const asked: string[] = []
  const kind = ageKind({
    identities: (wanted) => {
      asked.push(wanted)
      return Promise.resolve(identity)
    },
    sshKeys: () => assert.fail('no ssh key is needed'),
    passphrase: () => assert.fail('no passphrase is needed'),
  })
  const wrapped = await kind.wrap({ recipient }, bytes)
  assert.deepEqual(await kind.unwrap({ recipient, ...wrapped }), bytes)
  assert.deepEqual(asked, [recipient])
})

test('plugins and malformed keys are refused, without showing a secret', async () => {
  await assert.rejects(
    checkAgeRecipient('age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t'),
    {
      code: 'UNSUPPORTED',
      message: /"yubikey"/,
    },
  )
  await assert.rejects(checkAgeRecipient('ssh-dss AAAA'), { code: 'UNSUPPORTED' })
  await assert.rejects(checkAgeRecipient('ssh-ed25519 AAAA'), { code: 'INVALID_KEY' })
  await assert.rejects(checkAgeRecipient('age2x'), { code: 'INVALID_KEY' })
  const identity = await generateX25519Identity()
  const at = identity.length - 3
  const damaged = `${identity.slice(0, at)}${identity[at] === 'Q' ? 'P' : 'Q'}${identity.slice(at + 1)}`
  for (const text of [damaged, 'AGE-PLUGIN-YUBIKEY-1QQQ', 'hunter2']) {
    assert.throws(
      () => ageIdentities(`# one\n${text}`),
      (error: Error) =>
        error instanceof SopsError &&
        error.message.startsWith('line 2') &&
        !error.message.includes(text),
    )
  }
})

test('a change of any byte of a wrapped key is refused or changes nothing', async () => {
  const identity = await generateX25519Identity()
  const recipient = await identityToRecipient(identity)
  const kind = ageIdentities(identity)
  const enc = text((await kind.wrap({ recipient }, bytes))['enc'])
  await fc.assert(
    fc.asyncProperty(fc.nat(enc.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const changed = Buffer.from(enc, 'latin1')
      changed[at] = (changed[at] ?? 0) ^ flip
      try {
        const opened = await kind.unwrap({ recipient, enc: changed.toString('latin1') })
        if (opened !== null) assert.deepEqual(opened, bytes)
      } catch (error) {
        if (!(error instanceof SopsError)) throw error
      }
    }),
    { numRuns: 400 },
  )
})

function sshEd25519(): { readonly line: string; readonly pem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const point = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32)
  const wire = Buffer.concat([sshString('ssh-ed25519'), sshString(point)])
  return {
    line: `ssh-ed25519 ${wire.toString('base64')} me@here`,
    pem: openSsh(seed, point),
  }
}

function sshRsa(): { readonly line: string; readonly pem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' })
  const modulus = Buffer.concat([Buffer.alloc(1), Buffer.from(n, 'base64url')])
  const wire = Buffer.concat([
    sshString('ssh-rsa'),
    sshString(Buffer.from(e, 'base64url')),
    sshString(modulus),
  ])
  const pem = privateKey.export({ format: 'pem', type: 'pkcs1' }).toString()
  return { line: `ssh-rsa ${wire.toString('base64')}`, pem }
}

/** PROTOCOL.key of OpenSSH. */
function openSsh(seed: Buffer, point: Buffer): string {
  const wire = Buffer.concat([sshString('ssh-ed25519'), sshString(point)])
  const secret = sshString(Buffer.concat([seed, point]))
  const inner = Buffer.concat([Buffer.alloc(8, 1), wire, secret, sshString('me@here')])
  const body = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    ...['none', 'none', ''].map(sshString),
    Buffer.from([0, 0, 0, 1]),
    sshString(wire),
    sshString(Buffer.concat([inner, Buffer.from([1, 2, 3, 4, 5, 6])])),
  ])
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${body.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
