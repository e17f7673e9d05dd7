import { createSecretKey, type KeyObject } from 'node:crypto'
import { openBytes, sealBytes, type Seal } from '../lib/sealed-bytes.ts'
import type { RandomBytes } from './token-secret.ts'

const KEY = 32
/** What follows it is written as src/lib/sealed-bytes.ts does. */
const VERSION = 'v1.'

/** Encrypts what the store keeps of the provider's tokens: bound to the session that it belongs to. */
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
    return VERSION + sealBytes(Buffer.from(text), this.#of(session), this.#randomBytes)
  }

  /** Null for what was sealed with another key or for another session, or was changed. */
  open(sealed: string, session: string): string | null {
    if (!sealed.startsWith(VERSION)) return null
    return openBytes(sealed.slice(VERSION.length), this.#of(session))?.toString('utf8') ?? null
  }

  #of(session: string): Seal {
    return { key: this.#key, bound: Buffer.from(session) }
  }
}
