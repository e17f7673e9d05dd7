import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import { strictBase64url } from '../lib/base64url.ts'

/** What a server swears: the record `seq` has this hash, and everything before it follows from that. */
export interface Checkpoint {
  readonly seq: number
  readonly hash: string
  /** When it was signed; milliseconds since the epoch. */
  readonly time: number
  /** Public key: `ed25519:` and its 32 bytes in base64url. */
  readonly key: string
  /** Ed25519 (RFC 8032), base64url. */
  readonly signature: string
}

/** What a server swears when it forgets: the oldest record left is `seq`, and `prev` is the hash of the one before it. */
export interface Anchor {
  readonly seq: number
  readonly prev: string
  readonly key: string
  readonly signature: string
}

/** Signs for one server. */
export interface Signer {
  readonly key: string
  checkpoint(place: { readonly seq: number; readonly hash: string }, time: number): Checkpoint
  anchor(first: { readonly seq: number; readonly prev: string }): Anchor
}

/** A new private key as PEM (PKCS #8): a secret. */
export function newSigningKey(): string {
  const { privateKey } = generateKeyPairSync('ed25519')
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** @throws Error where the text is no Ed25519 key */
export function createSigner(pem: string): Signer {
  const secret = createPrivateKey(pem)
  const { x } = createPublicKey(secret).export({ format: 'jwk' })
  if (secret.asymmetricKeyType !== 'ed25519' || x === undefined)
    throw new Error('the key of the audit is no Ed25519 key')
  const key = `ed25519:${x}`
  const signed = (text: string): string =>
    sign(null, Buffer.from(text), secret).toString('base64url')
  return {
    key,
    checkpoint: ({ seq, hash }, time) => ({
      ...{ seq, hash, time, key },
      signature: signed(checkpointText({ seq, hash, time })),
    }),
    anchor: ({ seq, prev }) => ({ seq, prev, key, signature: signed(anchorText({ seq, prev })) }),
  }
}

/** Whether the key that it names signed it; whose key that is, the caller must know. */
export function isSignedCheckpoint(checkpoint: Checkpoint): boolean {
  return isSigned(checkpointText(checkpoint), checkpoint)
}

export function isSignedAnchor(anchor: Anchor): boolean {
  return isSigned(anchorText(anchor), anchor)
}

function checkpointText({ seq, hash, time }: Pick<Checkpoint, 'seq' | 'hash' | 'time'>): string {
  return `fairway audit checkpoint 1\n${String(seq)}\n${hash}\n${String(time)}\n`
}

function anchorText({ seq, prev }: Pick<Anchor, 'seq' | 'prev'>): string {
  return `fairway audit anchor 1\n${String(seq)}\n${prev}\n`
}

function isSigned(
  text: string,
  { key, signature }: { readonly key: string; readonly signature: string },
): boolean {
  const [, x] = /^ed25519:([A-Za-z0-9_-]{43})$/.exec(key) ?? []
  const signed = strictBase64url(signature)
  if (x === undefined || strictBase64url(x) === null || signed?.length !== 64) return false
  try {
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
    return verify(null, Buffer.from(text), publicKey, signed)
  } catch {
    return false
  }
}
