import type { ByteRange } from '../oci/blob-store.ts'

/**
 * One range of `Range: bytes=…` (RFC 9110 section 14). 'whole' where the header is absent, malformed, of another unit or asks for several
 * ranges (a server may ignore those); 'unsatisfiable' means 416.
 */
export function parseByteRange(
  header: string | undefined,
  size: number,
): ByteRange | 'whole' | 'unsatisfiable' {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  const [, first = '', last = ''] = match ?? []
  if (match === null || (first === '' && last === '')) return 'whole'
  if (first === '') {
    const count = Math.min(Number(last), size)
    return count === 0 ? 'unsatisfiable' : { start: size - count, end: size - 1 }
  }
  const start = Number(first)
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (start >= size || (last !== '' && Number(last) < start)) return 'unsatisfiable'
  return { start, end }
}

/** `Content-Range` of a PATCH: `start-end`, inclusive, without a unit (distribution-spec "Pushing a blob in chunks"). Null where malformed. */
export function parseChunkRange(header: string): ByteRange | null {
  const match = /^(\d{1,16})-(\d{1,16})$/.exec(header)
  if (match === null) return null
  const range = { start: Number(match[1]), end: Number(match[2]) }
  return range.end < range.start ? null : range
}
