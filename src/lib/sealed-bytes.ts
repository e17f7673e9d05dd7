import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto'
import { strictBase64url } from './base64url.ts'

const NONCE = 12
const TAG = 16

export interface Seal {
  /** 32 bytes. */
  readonly key: KeyObject | Uint8Array
  /** What the bytes belong to: under another one they do not open. */
  readonly bound: Uint8Array
}

/**
 * Encrypts under AES-256-GCM (NIST SP 800-38D).
 * @param random must give other bytes each time: two texts under one key and nonce betray each other
 * @returns nonce, ciphertext and tag in base64url
 */
export function sealBytes(
  clear: Uint8Array,
  { key, bound }: Seal,
  random: (bytes: number) => Uint8Array,
): string {
  const nonce = random(NONCE)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(bound)
  const bytes = [nonce, cipher.update(clear), cipher.final()]
  return Buffer.concat([...bytes, cipher.getAuthTag()]).toString('base64url')
}

/** Null for what was sealed with another key or for something else, or was changed in any character, also in those that say nothing. */
export function openBytes(sealed: string, { key, bound }: Seal): Buffer | null {
  const bytes = strictBase64url(sealed)
  if (bytes === null || bytes.length < NONCE + TAG) return null
  const nonce = bytes.subarray(0, NONCE)
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG })
  decipher.setAAD(bound)
  decipher.setAuthTag(bytes.subarray(-TAG))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(NONCE, -TAG)), decipher.final()])
  } catch {
    return null
  }
}
