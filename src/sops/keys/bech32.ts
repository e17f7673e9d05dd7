import { SopsError } from '../sops-error.ts'

const CHARSET = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
const GENERATORS = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]

/** The bytes of a Bech32 text (BIP 173, of any length, as age has it). @throws SopsError INVALID_KEY, without the text */
export function bech32Bytes(text: string, prefix: string): Buffer {
  const lower = text.toLowerCase()
  const separator = lower.lastIndexOf('1')
  const values = Array.from(lower.slice(separator + 1), (char) => CHARSET.indexOf(char))
  const isWhole =
    (text === lower || text === text.toUpperCase()) &&
    lower.slice(0, separator) === prefix &&
    values.length >= 6 &&
    !values.includes(-1) &&
    checksum([...spread(prefix), ...values]) === 1
  const bytes = isWhole ? regrouped(values.slice(0, -6)) : null
  if (bytes === null) throw new SopsError('INVALID_KEY', `it is no whole text of ${prefix}1…`)
  return bytes
}

function spread(prefix: string): number[] {
  const codes = [...Buffer.from(prefix, 'latin1')]
  return [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31)]
}

function checksum(values: readonly number[]): number {
  let sum = 1
  for (const value of values) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ value
    for (const [bit, generator] of GENERATORS.entries()) if ((top >> bit) & 1) sum ^= generator
  }
  return sum
}

/** Groups of five bits as bytes; null where bits are left over that are not padding. */
function regrouped(values: readonly number[]): Buffer | null {
  const bytes: number[] = []
  let held = 0
  let bits = 0
  for (const value of values) {
    held = ((held << 5) | value) & 0xfff
    bits += 5
    if (bits >= 8) {
      bits -= 8
      bytes.push((held >> bits) & 0xff)
    }
  }
  return bits < 5 && (held & ((1 << bits) - 1)) === 0 ? Buffer.from(bytes) : null
}
