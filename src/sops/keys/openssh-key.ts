/** The format openssh-key-v1 (PROTOCOL.key of OpenSSH, sshkey.c private2_uudecode). */
import { createPrivateKey } from 'node:crypto'
import { sshLock } from './ssh-lock.ts'
import { publicKeyOf, rsaPrivateKey, type LockedSshKey, type SshPrivateKey } from './ssh-key.ts'
import { bytesOf, damaged, malformed, number, SshReader } from './ssh-wire.ts'

const MAGIC = Buffer.from('openssh-key-v1\0', 'latin1')
const PLAIN_BLOCK = 8

/** What stands between the lines of an OPENSSH PRIVATE KEY. @throws SopsError INVALID_KEY, UNSUPPORTED for another type, cipher or kdf */
export function openSshKey(bytes: Buffer): SshPrivateKey | LockedSshKey {
  const reader = new SshReader(bytes)
  reader.expect(MAGIC)
  const [cipher, kdf, options] = [reader.name(), reader.name(), reader.string()]
  if (reader.uint32() !== 1) throw malformed('the private key file holds several keys')
  const publicKey = publicKeyOf(reader.string())
  const [sealed, tag] = [reader.string(), reader.rest()]
  if (cipher !== 'none') {
    const lock = sshLock({ cipher, kdf, options, sealed, tag })
    return {
      publicKey,
      unlock: async (passphrase) => {
        const opened = await lock(passphrase)
        return opened === null ? null : privateKeyIn(opened, publicKey.wire)
      },
    }
  }
  if (tag.length > 0 || sealed.length % PLAIN_BLOCK !== 0) throw damaged()
  const key = privateKeyIn(sealed, publicKey.wire)
  if (key === null) throw damaged()
  return key
}

/** The list of private keys, which begins with one number twice: null where that differs, as it does under another passphrase. */
function privateKeyIn(opened: Buffer, wire: Buffer): SshPrivateKey | null {
  const reader = new SshReader(opened)
  if (reader.uint32() !== reader.uint32()) return null
  const type = reader.name()
  const key = type === 'ssh-ed25519' ? ed25519Key(reader, wire) : rsaKey(reader)
  reader.string() // The comment.
  const padding = reader.rest()
  if (!padding.every((byte, index) => byte === ((index + 1) & 0xff))) throw damaged()
  if (type !== key.type || !key.wire.equals(wire)) throw damaged()
  return key
}

function ed25519Key(reader: SshReader, wire: Buffer): SshPrivateKey {
  const publicKey = publicKeyOf(wire)
  const [point, both] = [reader.string(), reader.string()]
  // The secret is the seed, and the public key once more.
  if (both.length !== 64 || !point.equals(publicKey.point)) throw damaged()
  if (!both.subarray(32).equals(point)) throw damaged()
  return { ...publicKey, seed: both.subarray(0, 32) }
}

function rsaKey(reader: SshReader): SshPrivateKey {
  const [n, e, d, qi, p, q] = Array.from({ length: 6 }, () => number(reader.string()))
  if (n === undefined || e === undefined || d === undefined || qi === undefined) throw damaged()
  if (p === undefined || q === undefined || p < 2n || q < 2n) throw damaged()
  const numbers = { n, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi }
  const jwk = Object.fromEntries(
    Object.entries(numbers).map(([name, value]) => [name, bytesOf(value).toString('base64url')]),
  )
  try {
    return rsaPrivateKey(createPrivateKey({ key: { kty: 'RSA', ...jwk }, format: 'jwk' }))
  } catch {
    // Without the cause: it may name numbers of the key.
    throw damaged()
  }
}
