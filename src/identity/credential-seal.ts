import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import type { RandomBytes } from './token-secret.ts'

const NONCE = 12
const TAG = 16
const KEY = 32

/** Encrypts what the store keeps of the provider's tokens: AES-256-GCM (NIST SP 800-38D), bound to the session that it belongs to. */
export class CredentialSeal {
  readonly #key: KeyObject
  readonly #randomBytes: RandomBytes

  /** @param key 32 bytes @throws RangeError for another length */
  constructor(key: Uint8Array, randomBytes: RandomBytes) {
    if (key.length !== KEY) throw new RangeError(`expected a key of ${KEY} bytes`)
    this.#key = createSecretKey(key)
    this.#randomBytes = randomBytes
  }

  seal(text: string, session: string): string {
    const nonce = this.#randomBytes(NONCE)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce)
    cipher.setAAD(Buffer.from(session))
    const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final()])
    return `v1.${Buffer.concat([sealed, cipher.getAuthTag()]).toString('base64url')}`
  }

  /** Null for what was sealed with another key or for another session, or was changed. */
  open(sealed: string, session: string): string | null {
    const [version, body = ''] = sealed.split('.')
    const bytes = Buffer.from(body, 'base64url')
    if (version !== 'v1' || bytes.length < NONCE + TAG) return null
    const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, NONCE), {
      authTagLength: TAG,
    })
    decipher.setAAD(Buffer.from(session))
    decipher.setAuthTag(bytes.subarray(-TAG))
    try {
      const text = decipher.update(bytes.subarray(NONCE, -TAG), undefined, 'utf8')
      return text + decipher.final('utf8')
    } catch {
      return null
    }
  }
}
