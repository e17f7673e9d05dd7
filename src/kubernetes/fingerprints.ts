import { createHmac, hkdfSync } from 'node:crypto'
import type { Secret } from '../model/secrets.ts'

const CHARACTERS = 10

/** Tells texts from others to whoever has the installation's key, and to nobody else: HMAC-SHA-256 under a key derived from it. @returns a function to ten hexadecimal characters */
export function fingerprints(key: Secret): (text: string) => string {
  const derived = Buffer.from(hkdfSync('sha256', key.reveal(), '', 'fairway fingerprints', 32))
  return (text) => createHmac('sha256', derived).update(text).digest('hex').slice(0, CHARACTERS)
}
