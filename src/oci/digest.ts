import { createHash, type Hash } from 'node:crypto'
import { OciError } from './oci-error.ts'

/** What we make and what images are named by. */
export type Digest = `sha256:${string}`
/** What others may push: sha512 is registered too (image-spec descriptor.md). */
export type BlobDigest = Digest | `sha512:${string}`

export function isDigest(text: string): text is Digest {
  return /^sha256:[0-9a-f]{64}$/.test(text)
}

export function isBlobDigest(text: string): text is BlobDigest {
  return isDigest(text) || /^sha512:[0-9a-f]{128}$/.test(text)
}

/** @throws OciError INVALID_IMAGE, naming `what` */
export function parseDigest(text: string, what = 'digest'): Digest {
  if (isDigest(text)) return text
  throw new OciError(
    'INVALID_IMAGE',
    `${what} ${JSON.stringify(text)} is not sha256:<64 hex digits>`,
  )
}

export function parseBlobDigest(text: string, what = 'digest'): BlobDigest {
  if (isBlobDigest(text)) return text
  throw new OciError(
    'INVALID_IMAGE',
    `${what} ${JSON.stringify(text)} is not a lower-case sha256 or sha512 digest`,
  )
}

export function algorithmOf(digest: BlobDigest): 'sha256' | 'sha512' {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

/** The part after the colon. */
export function hexOf(digest: BlobDigest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

export function sha256(data: string | Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`
}

export function hashFor(digest: BlobDigest): Hash {
  return createHash(algorithmOf(digest))
}

export function finishHash(hash: Hash): Digest {
  return `sha256:${hash.digest('hex')}`
}

/** ChainIDs of every prefix: element i names the stack of layers 0..i (image-spec config.md "Layer ChainID"). */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = []
  for (const diffId of diffIds) {
    const parent = chain.at(-1)
    chain.push(parent === undefined ? diffId : sha256(`${parent} ${diffId}`))
  }
  return chain
}
