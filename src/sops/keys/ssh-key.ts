import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { SopsError } from '../sops-error.ts'

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

const MAGIC = Buffer.from('openssh-key-v1\0', 'latin1')
const MIN_RSA_BITS = 2048

/** A line of authorized_keys: `ssh-ed25519 AAAA… comment`. @throws SopsError INVALID_KEY, UNSUPPORTED for other types of keys */
export function sshPublicKey(line: string): SshPublicKey {
  const [type = '', base64 = ''] = line.trim().split(/\s+/)
  if (type !== 'ssh-ed25519' && type !== 'ssh-rsa') {
    throw new SopsError(
      'UNSUPPORTED',
      `${type.slice(0, 40)}: age takes ssh-ed25519 and ssh-rsa keys alone`,
    )
  }
  const wire = Buffer.from(base64, 'base64')
  if (wire.toString('base64') !== base64) throw malformed(`an ${type} recipient is not whole`)
  return publicKey(wire, type)
}

/** A private key file, without passphrase. @throws SopsError INVALID_KEY, UNSUPPORTED where it has a passphrase or is of another type; neither shows it */
export function sshPrivateKey(pem: string): SshPrivateKey {
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END/.exec(pem)?.[1]
  if (body !== undefined) return openSshKey(new SshReader(Buffer.from(body, 'base64')))
  if (/-----BEGIN (RSA )?PRIVATE KEY-----/.test(pem) && !pem.includes('ENCRYPTED')) {
    return rsaKey(readPem(pem))
  }
  if (pem.includes('ENCRYPTED')) throw withPassphrase()
  throw malformed('it is no private key of OpenSSH')
}

function openSshKey(reader: SshReader): SshPrivateKey {
  reader.expect(MAGIC)
  const cipher = reader.string().toString('latin1')
  reader.string()
  reader.string()
  if (reader.uint32() !== 1) throw malformed('the private key file holds several keys')
  reader.string()
  if (cipher !== 'none') throw withPassphrase()
  const inner = new SshReader(reader.string())
  if (inner.uint32() !== inner.uint32()) throw malformed('the private key is damaged')
  const type = inner.string().toString('latin1')
  if (type === 'ssh-ed25519') {
    inner.string()
    const both = inner.string()
    if (both.length !== 64) throw malformed('the private key is damaged')
    const wire = Buffer.concat([sshString('ssh-ed25519'), sshString(both.subarray(32))])
    return { ...publicKey(wire, type), seed: both.subarray(0, 32) }
  }
  if (type !== 'ssh-rsa') {
    throw new SopsError('UNSUPPORTED', `${type}: age takes ssh-ed25519 and ssh-rsa keys alone`)
  }
  const [n, e, d, qi, p, q] = Array.from({ length: 6 }, () => number(inner.string()))
  if (n === undefined || e === undefined || d === undefined || qi === undefined) throw damaged()
  if (p === undefined || q === undefined || p < 2n || q < 2n) throw damaged()
  const numbers = { n, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi }
  const jwk = Object.fromEntries(
    Object.entries(numbers).map(([name, value]) => [name, bytesOf(value).toString('base64url')]),
  )
  return rsaKey(createPrivateKey({ key: { kty: 'RSA', ...jwk }, format: 'jwk' }))
}

function rsaKey(key: KeyObject): SshPrivateKey {
  if (key.asymmetricKeyType !== 'rsa') {
    throw new SopsError('UNSUPPORTED', 'age takes ssh-ed25519 and ssh-rsa keys alone')
  }
  const { n = '', e = '' } = createPublicKey(key).export({ format: 'jwk' })
  const wire = Buffer.concat([
    sshString('ssh-rsa'),
    sshString(positive(Buffer.from(e, 'base64url'))),
    sshString(positive(Buffer.from(n, 'base64url'))),
  ])
  return { type: 'ssh-rsa', wire, point: Buffer.alloc(0), key, seed: Buffer.alloc(0) }
}

function publicKey(wire: Buffer, wanted: SshPublicKey['type']): SshPublicKey {
  const reader = new SshReader(wire)
  const type = reader.string().toString('latin1')
  if (type !== wanted) throw malformed(`an ${wanted} recipient holds a key of another type`)
  if (type === 'ssh-ed25519') {
    const point = reader.string()
    if (point.length !== 32 || !reader.isAtEnd) throw malformed('an ssh-ed25519 key has 32 bytes')
    return { type, wire, point, key: null }
  }
  const [e, n] = [reader.string(), reader.string()].map((part) =>
    bytesOf(number(part)).toString('base64url'),
  )
  if (e === undefined || n === undefined || !reader.isAtEnd) throw damaged()
  const key = createPublicKey({ key: { kty: 'RSA', e, n }, format: 'jwk' })
  if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS) {
    throw malformed(`an RSA key needs ${MIN_RSA_BITS} bits`)
  }
  return { type: 'ssh-rsa', wire, point: Buffer.alloc(0), key }
}

class SshReader {
  readonly #bytes: Buffer
  #position = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#position === this.#bytes.length
  }

  expect(bytes: Buffer): void {
    if (!this.#take(bytes.length).equals(bytes)) throw damaged()
  }

  uint32(): number {
    return this.#take(4).readUInt32BE()
  }

  string(): Buffer {
    return this.#take(this.uint32())
  }

  #take(length: number): Buffer {
    const taken = this.#bytes.subarray(this.#position, this.#position + length)
    if (taken.length !== length) throw damaged()
    this.#position += length
    return taken
  }
}

function readPem(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw new SopsError('INVALID_KEY', 'the private key cannot be read', cause)
  }
}

function sshString(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** A leading zero keeps a number from reading as a negative one (RFC 4251 5). */
function positive(bytes: Buffer): Buffer {
  return ((bytes[0] ?? 0) & 0x80) === 0 ? bytes : Buffer.concat([Buffer.alloc(1), bytes])
}

function number(bytes: Buffer): bigint {
  return BigInt(`0x0${bytes.toString('hex')}`)
}

function bytesOf(value: bigint): Buffer {
  const hex = value.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
}

function withPassphrase(): SopsError {
  return new SopsError(
    'UNSUPPORTED',
    'the private key has a passphrase; SOPS_AGE_SSH_PRIVATE_KEY_CMD can give an open copy, and an age key does without',
  )
}

function damaged(): SopsError {
  return malformed('the key is damaged')
}

function malformed(message: string): SopsError {
  return new SopsError('INVALID_KEY', `ssh: ${message}`)
}
