/** RSA keys as PEM under a passphrase: `ssh-keygen -m PEM` (RFC 1421's headers) and `-m PKCS8` (RFC 5958, RFC 8018). Nothing in them says whose private half they are. */
import { createPrivateKey, type KeyObject, type PrivateKeyInput } from 'node:crypto'
import { SopsError } from '../sops-error.ts'
import { rsaPrivateKey, type LockedSshKey, type SshPrivateKey } from './ssh-key.ts'
import { damaged } from './ssh-wire.ts'

/** Bytes of the block, which is the IV's length too. */
const PEM_CIPHERS: ReadonlyMap<string, number> = new Map([
  ['AES-128-CBC', 16],
  ['AES-192-CBC', 16],
  ['AES-256-CBC', 16],
  ['DES-EDE3-CBC', 8],
])
const HEADERS =
  /^Proc-Type: 4,ENCRYPTED\r?\nDEK-Info: ([A-Za-z0-9-]{1,40}),([0-9A-Fa-f]+)\r?\n\r?\n([A-Za-z0-9+/=\s]+)$/
const PBES2 = Buffer.from('2a864886f70d01050d', 'hex')
const PBKDF2 = Buffer.from('2a864886f70d01050c', 'hex')
/** Four seconds here; OpenSSL writes 2,048, and advice for passwords is below a million. */
const MAX_ITERATIONS = 10_000_000

/** An RSA PRIVATE KEY with headers. @throws SopsError INVALID_KEY, UNSUPPORTED by the cipher's name */
export function lockedRsaPem(block: string, body: string): LockedSshKey {
  const [whole, cipher = '', iv = '', base64 = ''] = HEADERS.exec(body.trimStart()) ?? []
  if (whole === undefined) throw damaged()
  const size = PEM_CIPHERS.get(cipher)
  if (size === undefined) throw unsupported(`by ${cipher}`)
  const sealed = Buffer.from(base64, 'base64').length
  if (iv.length !== size * 2 || sealed === 0 || sealed % size !== 0) throw damaged()
  return locked({ key: block, format: 'pem' })
}

/** An ENCRYPTED PRIVATE KEY. @throws SopsError INVALID_KEY, UNSUPPORTED where its passphrase goes through something else than PBKDF2, or too often */
export function lockedPkcs8(der: Buffer): LockedSshKey {
  const outer = derValue(der, SEQUENCE)
  const algorithm = derValue(outer.content, SEQUENCE)
  if (outer.rest.length > 0 || derValue(algorithm.rest, OCTETS).rest.length > 0) throw damaged()
  const scheme = derValue(algorithm.content, OBJECT)
  if (!scheme.content.equals(PBES2)) throw unsupported('in another way than PBES2')
  const kdf = derValue(derValue(scheme.rest, SEQUENCE).content, SEQUENCE)
  const kdfName = derValue(kdf.content, OBJECT)
  if (!kdfName.content.equals(PBKDF2)) throw unsupported('in another way than by PBKDF2')
  const salt = derValue(derValue(kdfName.rest, SEQUENCE).content, OCTETS)
  const iterations = derValue(salt.rest, INTEGER).content
  if (iterations.length > 4 || iterations.readUIntBE(0, iterations.length) > MAX_ITERATIONS) {
    throw unsupported(`with more than ${MAX_ITERATIONS} iterations`)
  }
  return locked({ key: der, format: 'der', type: 'pkcs8' })
}

function locked(key: PrivateKeyInput): LockedSshKey {
  return {
    publicKey: null,
    unlock: (passphrase) =>
      new Promise((resolve) => {
        resolve(opened({ ...key, passphrase }))
      }),
  }
}

function opened(input: PrivateKeyInput): SshPrivateKey | null {
  let key: KeyObject
  try {
    key = createPrivateKey(input)
  } catch {
    // A wrong passphrase and a damaged content end in the same errors of OpenSSL.
    return null
  }
  return rsaPrivateKey(key)
}

const [INTEGER, OCTETS, OBJECT, SEQUENCE] = [0x02, 0x04, 0x06, 0x30]

interface DerValue {
  readonly content: Buffer
  readonly rest: Buffer
}

/** The value that these bytes begin with. @throws SopsError INVALID_KEY where it is none of this kind, or not whole */
function derValue(bytes: Buffer, tag: number): DerValue {
  const [first = -1, short = 0] = bytes
  const more = short < 0x80 ? 0 : short & 0x7f
  if (first !== tag || more > 3 || short === 0x80 || bytes.length < 2 + more) throw damaged()
  const length = more === 0 ? short : bytes.readUIntBE(2, more)
  const content = bytes.subarray(2 + more, 2 + more + length)
  if (content.length !== length || length === 0) throw damaged()
  return { content, rest: bytes.subarray(2 + more + length) }
}

function unsupported(how: string): SopsError {
  return new SopsError('UNSUPPORTED', `the private key is encrypted ${how}`)
}
