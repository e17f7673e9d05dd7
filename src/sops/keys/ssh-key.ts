import { createPublicKey, type KeyObject } from 'node:crypto'
import { SopsError } from '../sops-error.ts'
import { bytesOf, damaged, malformed, number, positive, SshReader, sshString } from './ssh-wire.ts'

/** A key of OpenSSH, as age uses it. */
export interface SshPublicKey {
  readonly type: 'ssh-ed25519' | 'ssh-rsa'
  /** The public key as ssh sends it (RFC 4253 6.6): what age authenticates. */
  readonly wire: Buffer
  /** The 32 bytes of Ed25519; empty for RSA. */
  readonly point: Buffer
  /** For RSA. */
  readonly key: KeyObject | null
}

export interface SshPrivateKey extends SshPublicKey {
  /** The seed of Ed25519; empty for RSA. */
  readonly seed: Buffer
}

/** A private key that nobody has without its passphrase. */
export interface LockedSshKey {
  /** Null where the file does not say whose private half it is. */
  readonly publicKey: SshPublicKey | null
  /**
   * Takes up to seconds of the processor: keys are derived slowly on purpose.
   * @returns null where the passphrase is another one
   * @throws SopsError INVALID_KEY where the right passphrase opens no key, UNSUPPORTED for one of another type; neither shows the passphrase
   */
  unlock(passphrase: string): Promise<SshPrivateKey | null>
}

const MIN_RSA_BITS = 2048
/** As OpenSSH (SSHBUF_MAX_BIGNUM) and OpenSSL. */
const MAX_RSA_BITS = 16384

/** A line of authorized_keys: `ssh-ed25519 AAAA… comment`. @throws SopsError INVALID_KEY, UNSUPPORTED for other types of keys */
export function sshPublicKey(line: string): SshPublicKey {
  const [type = '', base64 = ''] = line.trim().split(/\s+/)
  if (type !== 'ssh-ed25519' && type !== 'ssh-rsa') throw otherType(type.slice(0, 40))
  const wire = Buffer.from(base64, 'base64')
  if (wire.toString('base64') !== base64) throw malformed(`an ${type} recipient is not whole`)
  const key = publicKeyOf(wire)
  if (key.type !== type) throw malformed(`an ${type} recipient holds a key of another type`)
  return key
}

/** A public key as ssh sends it. @throws SopsError as sshPublicKey */
export function publicKeyOf(wire: Buffer): SshPublicKey {
  const reader = new SshReader(wire)
  const type = reader.name()
  if (type === 'ssh-ed25519') {
    const point = reader.string()
    if (point.length !== 32 || !reader.isAtEnd) throw malformed('an ssh-ed25519 key has 32 bytes')
    return { type, wire, point, key: null }
  }
  if (type !== 'ssh-rsa') throw otherType(type)
  const [e, n] = [reader.string(), reader.string()].map(number)
  if (e === undefined || n === undefined || !reader.isAtEnd) throw damaged()
  return { type, wire, point: Buffer.alloc(0), key: rsaPublicKey(e, n) }
}

/** The private half of an RSA key. @throws SopsError UNSUPPORTED for a key of another type, INVALID_KEY for one that is too short */
export function rsaPrivateKey(key: KeyObject): SshPrivateKey {
  if (key.asymmetricKeyType !== 'rsa') throw otherType(key.asymmetricKeyType ?? 'this key')
  const { n = '', e = '' } = createPublicKey(key).export({ format: 'jwk' })
  const wire = Buffer.concat([
    sshString('ssh-rsa'),
    sshString(positive(Buffer.from(e, 'base64url'))),
    sshString(positive(Buffer.from(n, 'base64url'))),
  ])
  return { ...publicKeyOf(wire), key, seed: Buffer.alloc(0) }
}

function rsaPublicKey(e: bigint, n: bigint): KeyObject {
  const bits = n.toString(2).length
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) {
    throw malformed(`an RSA key needs ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits`)
  }
  const numbers = { n: bytesOf(n).toString('base64url'), e: bytesOf(e).toString('base64url') }
  try {
    return createPublicKey({ key: { kty: 'RSA', ...numbers }, format: 'jwk' })
  } catch {
    throw damaged()
  }
}

/** What is said of a key that age has no use for. */
export function otherType(type: string): SopsError {
  return new SopsError('UNSUPPORTED', `${type}: age takes ssh-ed25519 and ssh-rsa keys alone`)
}
