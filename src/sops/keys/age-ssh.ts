/** ssh keys as recipients and identities of age (the stanzas `ssh-ed25519` and `ssh-rsa` of its reference implementation, agessh). */
import {
  constants,
  createCipheriv,
  createHash,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto'
import { SopsError } from '../sops-error.ts'
import {
  derived,
  openedFileKey,
  publicOf,
  sharedSecret,
  unpadded,
  type AgeIdentity,
  type AgeStanza,
} from './age-file.ts'
import { sshPublicKey, type SshPrivateKey, type SshPublicKey } from './ssh-key.ts'

const ED25519_LABEL = 'age-encryption.org/v1/ssh-ed25519'
const RSA_LABEL = 'age-encryption.org/v1/ssh-rsa'
const FIELD = 2n ** 255n - 19n

/** The stanza that wraps a file key for an ssh key. @throws SopsError INVALID_KEY, UNSUPPORTED */
export function sshStanza(recipient: string, fileKey: Uint8Array): AgeStanza {
  const key = sshPublicKey(recipient)
  if (key.key !== null) {
    const body = publicEncrypt({ key: key.key, ...OAEP }, fileKey)
    return { args: [key.type, tagOf(key)], body }
  }
  const ephemeral = randomBytes(32)
  const share = publicOf(ephemeral)
  const point = montgomery(key.point)
  const secret = sharedSecret(tweak(key), sharedSecret(ephemeral, point))
  const wrapping = derived(secret, Buffer.concat([share, point]), ED25519_LABEL)
  const cipher = createCipheriv('chacha20-poly1305', wrapping, Buffer.alloc(12), {
    authTagLength: 16,
  })
  const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()])
  return { args: [key.type, tagOf(key), base64(share)], body }
}

/** Whether a stanza says that it is for this key. Its tag is short: it may be for another one all the same. */
export function isStanzaFor(key: SshPublicKey, { args }: AgeStanza): boolean {
  return args[0] === key.type && args[1] === tagOf(key)
}

/** The identity of a private key. */
export function sshIdentity(key: SshPrivateKey): AgeIdentity {
  const scalar = createHash('sha512').update(key.seed).digest().subarray(0, 32)
  const open = ({ args, body }: AgeStanza): Buffer | null => {
    if (key.key !== null) return args.length === 2 ? decryptedByRsa(key, body) : null
    const share = unpadded(args[2] ?? '')
    if (args.length !== 3 || share.length !== 32) return null
    const secret = sharedSecret(tweak(key), sharedSecret(scalar, share))
    const salt = Buffer.concat([share, montgomery(key.point)])
    return openedFileKey(derived(secret, salt, ED25519_LABEL), body)
  }
  return {
    unwrap: (stanzas) => {
      for (const stanza of stanzas) {
        const fileKey = isStanzaFor(key, stanza) ? open(stanza) : null
        if (fileKey !== null) return fileKey
      }
      return null
    },
  }
}

const OAEP = {
  padding: constants.RSA_PKCS1_OAEP_PADDING,
  oaepHash: 'sha256',
  oaepLabel: Buffer.from(RSA_LABEL),
}

function decryptedByRsa({ key }: SshPublicKey, body: Buffer): Buffer | null {
  if (key === null) return null
  try {
    const opened = privateDecrypt({ key, ...OAEP }, body)
    return opened.length === 16 ? opened : null
  } catch {
    // Node tells what does not decrypt only by throwing.
    return null
  }
}

function tagOf({ wire }: SshPublicKey): string {
  return base64(createHash('sha256').update(wire).digest().subarray(0, 4))
}

/** Binds the secret to this very ssh key. */
function tweak({ wire }: SshPublicKey): Buffer {
  return derived(Buffer.alloc(0), wire, ED25519_LABEL)
}

/** A point of Ed25519 as one of X25519: u = (1 + y) / (1 - y) (RFC 7748 4.1). */
function montgomery(point: Buffer): Buffer {
  const bytes = Buffer.from(point)
  bytes[31] = (bytes[31] ?? 0) & 0x7f
  const y = BigInt(`0x${bytes.reverse().toString('hex')}`)
  const denominator = (1n - y + FIELD) % FIELD
  if (denominator === 0n || y >= FIELD) {
    throw new SopsError('INVALID_KEY', 'ssh: the key is no point of its curve')
  }
  const u = ((1n + y) * power(denominator, FIELD - 2n)) % FIELD
  return Buffer.from(u.toString(16).padStart(64, '0'), 'hex').reverse()
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  for (let square = base, rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % FIELD
    square = (square * square) % FIELD
  }
  return result
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}
