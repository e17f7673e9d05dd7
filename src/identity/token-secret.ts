import { createHash, timingSafeEqual } from 'node:crypto'

/** Cryptographically random bytes; `node:crypto.randomBytes` in production. */
export type RandomBytes = (size: number) => Uint8Array

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** Bytes from here on are thrown away, so that every letter is equally likely. */
const FAIR = 256 - (256 % ALPHABET.length)
const SESSION = /^fws_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}$/
const TOKEN = /^fwy_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}$/

/** `fwy_<id>_<secret>`: 43 letters of base 62 are 256 bits. */
export function newToken(randomBytes: RandomBytes): {
  readonly id: string
  readonly token: string
} {
  const id = randomText(12, randomBytes)
  return { id, token: `fwy_${id}_${randomText(43, randomBytes)}` }
}

/** `fws_<id>_<secret>`, the token of a person's session. */
export function newSessionToken(randomBytes: RandomBytes): {
  readonly id: string
  readonly token: string
} {
  const id = randomText(12, randomBytes)
  return { id, token: `fws_${id}_${randomText(43, randomBytes)}` }
}

/** As `looksLikeToken`, for session tokens. */
export function looksLikeSession(text: string): boolean {
  return SESSION.test(text)
}

/** One-time code of the claim link, 190 bits. */
export function newClaimCode(randomBytes: RandomBytes): string {
  return randomText(32, randomBytes)
}

/** False for what cannot be a token, before anything is hashed or looked up. */
export function looksLikeToken(text: string): boolean {
  return TOKEN.test(text)
}

/** SHA-256, hex. No salt and no stretching: the secrets are random and long. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** Compares in constant time; both are hashes, so their length is no secret. */
export function sameHash(left: string, right: string): boolean {
  const a = Buffer.from(left)
  const b = Buffer.from(right)
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Letters of base 62, each equally likely. */
export function randomText(length: number, randomBytes: RandomBytes): string {
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < FAIR && text.length < length) text += ALPHABET[byte % ALPHABET.length] ?? ''
    }
  }
  return text
}
