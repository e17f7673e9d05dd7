/** How OpenSSH encrypts a private key under a passphrase: a key and IV by bcrypt_pbkdf, then one of ssh's ciphers (PROTOCOL.key, cipher.c). */
import { createDecipheriv, type CipherGCMTypes } from 'node:crypto'
import { SopsError } from '../sops-error.ts'
import { damaged, SshReader } from './ssh-wire.ts'

/** What a file says about its encryption. */
export interface SealedKey {
  readonly cipher: string
  readonly kdf: string
  readonly options: Buffer
  readonly sealed: Buffer
  readonly tag: Buffer
}

/** The content, or null where the passphrase is another one. As in OpenSSH only ciphers with a tag tell; for the others the content does. */
export type SshLock = (passphrase: string) => Promise<Buffer | null>

/**
 * ssh-keygen takes 16 or 24 rounds, and guides ask for up to some hundreds (`-a`). One takes about 16 ms, so a file that somebody
 * made to keep us busy takes 16 s for each passphrase that is typed.
 */
const MAX_ROUNDS = 1_000
/** ssh-keygen takes 16 bytes. */
const MAX_SALT = 64
const GCM_TAG = 16

/** @throws SopsError UNSUPPORTED by the name of another cipher or kdf, and for more rounds; INVALID_KEY where the sizes do not fit */
export function sshLock({ cipher, kdf, options, sealed, tag }: SealedKey): SshLock {
  const known = CIPHERS.get(cipher)
  if (known === undefined) throw unsupported(`its cipher is ${cipher}`)
  if (kdf !== 'bcrypt') throw unsupported(`its passphrase goes through ${kdf}`)
  const { keyBytes, ivBytes, block, isGcm, decipher } = known
  const isWhole = sealed.length > 0 && sealed.length % block === 0
  if (!isWhole || tag.length !== (isGcm ? GCM_TAG : 0)) throw damaged()
  const bcrypt = bcryptOptions(options)
  return async (passphrase) => {
    if (passphrase === '') return null
    const derived = await bcryptKey(passphrase, bcrypt, keyBytes + ivBytes)
    return decipher(derived.subarray(0, keyBytes), derived.subarray(keyBytes), { sealed, tag })
  }
}

type Decipher = (
  key: Buffer,
  iv: Buffer,
  content: Pick<SealedKey, 'sealed' | 'tag'>,
) => Buffer | null

interface SshCipher {
  readonly keyBytes: number
  readonly ivBytes: number
  readonly block: number
  readonly isGcm: boolean
  readonly decipher: Decipher
}

/** All that `ssh-keygen -Z` takes but chacha20-poly1305@openssh.com, a construction of OpenSSH's own. */
const CIPHERS: ReadonlyMap<string, SshCipher> = new Map([
  ...[16, 24, 32].flatMap((keyBytes) =>
    ['ctr', 'cbc'].map((mode): [string, SshCipher] => {
      const bits = keyBytes * 8
      const decipher = plainCipher(`aes-${bits}-${mode}`)
      return [`aes${bits}-${mode}`, { keyBytes, ivBytes: 16, block: 16, isGcm: false, decipher }]
    }),
  ),
  ['aes128-gcm@openssh.com', gcmCipher('aes-128-gcm', 16)],
  ['aes256-gcm@openssh.com', gcmCipher('aes-256-gcm', 32)],
  [
    '3des-cbc',
    { keyBytes: 24, ivBytes: 8, block: 8, isGcm: false, decipher: plainCipher('des-ede3-cbc') },
  ],
])

function plainCipher(name: string): Decipher {
  return (key, iv, { sealed }) => {
    const decipher = createDecipheriv(name, key, iv).setAutoPadding(false)
    return Buffer.concat([decipher.update(sealed), decipher.final()])
  }
}

function gcmCipher(name: CipherGCMTypes, keyBytes: number): SshCipher {
  const decipher: Decipher = (key, iv, { sealed, tag }) => {
    const gcm = createDecipheriv(name, key, iv, { authTagLength: GCM_TAG }).setAuthTag(tag)
    try {
      return Buffer.concat([gcm.update(sealed), gcm.final()])
    } catch {
      // Node tells a wrong tag only by throwing.
      return null
    }
  }
  return { keyBytes, ivBytes: 12, block: 16, isGcm: true, decipher }
}

interface BcryptOptions {
  readonly salt: Buffer
  readonly rounds: number
}

function bcryptOptions(options: Buffer): BcryptOptions {
  const reader = new SshReader(options)
  const [salt, rounds] = [reader.string(), reader.uint32()]
  if (!reader.isAtEnd || salt.length === 0 || salt.length > MAX_SALT || rounds < 1) throw damaged()
  if (rounds > MAX_ROUNDS) {
    throw unsupported(`it takes ${rounds} rounds of bcrypt, and ${MAX_ROUNDS} are the most here`)
  }
  return { salt, rounds }
}

/** The library is loaded by who has such a key, and by nobody else. */
async function bcryptKey(
  passphrase: string,
  { salt, rounds }: BcryptOptions,
  length: number,
): Promise<Buffer> {
  const { default: bcrypt } = await import('bcrypt-pbkdf')
  const [bytes, key] = [Buffer.from(passphrase, 'utf8'), Buffer.alloc(length)]
  const failed = bcrypt.pbkdf(bytes, bytes.length, salt, salt.length, key, length, rounds)
  if (failed !== 0) throw damaged()
  return key
}

function unsupported(reason: string): SopsError {
  return new SopsError('UNSUPPORTED', `the private key is encrypted in another way: ${reason}`)
}
