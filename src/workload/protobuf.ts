/** The part of protocol buffers that the Workload API needs: length-delimited fields, and google.protobuf.Struct to answer with claims. */

export type Field = readonly [number: number, value: string | Uint8Array]

const VARINT = 0
const FIXED64 = 1
const DELIMITED = 2
const FIXED32 = 5

/** A message of length-delimited fields, in their order; fields with a number may stand several times. */
export function encodeMessage(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.flatMap(([number, value]) => delimited(number, value)))
}

/** An entry of a `map<string, …>`. */
export function mapEntry(key: string, value: string | Uint8Array): Buffer {
  return encodeMessage([
    [1, key],
    [2, value],
  ])
}

/** Length-delimited fields of a message by number; others are skipped. Null where it is no message. */
export function decodeMessage(bytes: Buffer): ReadonlyMap<number, readonly Buffer[]> | null {
  const found = new Map<number, Buffer[]>()
  let at = 0
  while (at < bytes.length) {
    const tag = readVarint(bytes, at)
    if (tag === null || tag.value < 8) return null
    const end = fieldEnd(bytes, tag.end, tag.value % 8)
    if (end === null || end.to > bytes.length) return null
    if (tag.value % 8 === DELIMITED) {
      const number = Math.floor(tag.value / 8)
      found.set(number, [...(found.get(number) ?? []), bytes.subarray(end.from, end.to)])
    }
    at = end.to
  }
  return found
}

/** google.protobuf.Struct of a JSON object. */
export function encodeStruct(object: Readonly<Record<string, unknown>>): Buffer {
  return encodeMessage(
    Object.entries(object).map(([key, value]): Field => [1, mapEntry(key, encodeValue(value))]),
  )
}

function encodeValue(value: unknown): Buffer {
  if (typeof value === 'number') {
    const double = Buffer.alloc(8)
    double.writeDoubleLE(value)
    return Buffer.concat([varint(2 * 8 + FIXED64), double])
  }
  if (typeof value === 'string') return encodeMessage([[3, value]])
  if (typeof value === 'boolean')
    return Buffer.concat([varint(4 * 8 + VARINT), varint(value ? 1 : 0)])
  if (Array.isArray(value)) {
    const items = value.map((item): Field => [1, encodeValue(item)])
    return encodeMessage([[6, encodeMessage(items)]])
  }
  if (typeof value === 'object' && value !== null)
    return encodeMessage([[5, encodeStruct({ ...value })]])
  return Buffer.concat([varint(8 + VARINT), varint(0)])
}

function delimited(number: number, value: string | Uint8Array): Uint8Array[] {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return [varint(number * 8 + DELIMITED), varint(bytes.length), bytes]
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  return Buffer.from([...bytes, rest])
}

interface Varint {
  readonly value: number
  readonly end: number
}

function readVarint(bytes: Buffer, from: number): Varint | null {
  let value = 0
  for (let index = 0; index < 10; index++) {
    const byte = bytes[from + index]
    if (byte === undefined) return null
    value += (byte & 0x7f) * 2 ** (7 * index)
    if (byte < 0x80) return { value, end: from + index + 1 }
  }
  return null
}

function fieldEnd(
  bytes: Buffer,
  at: number,
  type: number,
): { readonly from: number; readonly to: number } | null {
  if (type === FIXED64) return { from: at, to: at + 8 }
  if (type === FIXED32) return { from: at, to: at + 4 }
  const varint = readVarint(bytes, at)
  if (varint === null) return null
  if (type === VARINT) return { from: at, to: varint.end }
  return type === DELIMITED ? { from: varint.end, to: varint.end + varint.value } : null
}
