import { createHash } from 'node:crypto'

/** What the first link names as the one before it. */
export const CHAIN_START = '0'.repeat(64)

/** A JSON object on one line, whose last two keys are `prev` (hash of the link before) and `hash`. */
export interface Link {
  readonly line: string
  readonly hash: string
}

const TAIL = /,"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}$/
/** Bytes of `,"hash":"…"}`. */
const HASH_TAIL = 75

/**
 * The link that follows the one with the hash `prev`. Its hash is SHA-256 over its own text up to `prev`, closed with `}`: whoever has the
 * line can check it with any program, without rules for how JSON is written.
 */
export function chainLink(fields: Readonly<Record<string, unknown>>, prev: string): Link {
  const text = JSON.stringify({ ...fields, prev })
  const hash = sha256(text)
  return { line: `${text.slice(0, -1)},"hash":"${hash}"}`, hash }
}

/** Hashes of a line that is as it was written; null where any byte of it differs. */
export function readLink(line: string): { readonly prev: string; readonly hash: string } | null {
  const match = TAIL.exec(line)
  const [, prev = '', hash = ''] = match ?? []
  if (match === null || sha256(`${line.slice(0, -HASH_TAIL)}}`) !== hash) return null
  return { prev, hash }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
