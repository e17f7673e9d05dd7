import { SopsError } from './sops-error.ts'

export type ScalarType = 'str' | 'int' | 'float' | 'bool' | 'time' | 'bytes' | 'comment' | 'null'

/** A leaf: its type and the very bytes that sops encrypts and feeds to the MAC (sops.go ToBytes, aes/cipher.go Encrypt). */
export interface Scalar {
  readonly type: ScalarType
  readonly bytes: Buffer
}

export function scalar(type: ScalarType, text: string): Scalar {
  return { type, bytes: Buffer.from(text, 'utf8') }
}

export const NULL: Scalar = { type: 'null', bytes: Buffer.alloc(0) }

/** The text of a scalar. @throws SopsError INVALID_DOCUMENT where its bytes are not UTF-8 */
export function textOf({ bytes }: Scalar): string {
  const text = bytes.toString('utf8')
  if (text.includes('\ufffd') && !Buffer.from(text, 'utf8').equals(bytes)) {
    throw new SopsError('INVALID_DOCUMENT', 'a value is not UTF-8; only binary files may hold such')
  }
  return text
}

/** A number as Go's `FormatFloat(value, 'f', -1, 64)` writes it: shortest digits, never an exponent. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  if (Object.is(value, -0)) return '-0'
  const [mantissa = '', exponent] = String(value).split('e')
  if (exponent === undefined) return mantissa
  const sign = mantissa.startsWith('-') ? '-' : ''
  const [whole = '', part = ''] = mantissa.replace('-', '').split('.')
  const point = whole.length + Number(exponent)
  const digits = whole + part
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`
  return `${sign}${digits.padEnd(point, '0')}`
}

/** A float's text so that it is read as a float again: `1` becomes `1.0`. */
export function floatLiteral(text: string): string {
  return /^-?\d+$/.test(text) ? `${text}.0` : text
}

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n

export function isInt64(value: bigint): boolean {
  return value >= INT64_MIN && value <= INT64_MAX
}
