/** Smallest ELF objects with a dynamic section, as made-up libraries and programs for tests. */
export interface ElfObjectOptions {
  readonly class?: 32 | 64
  readonly endian?: 'little' | 'big'
  readonly machine?: number
  readonly needed?: readonly string[]
  readonly soname?: string
  readonly rpath?: string
  readonly runpath?: string
  readonly interpreter?: string
}

export function elfObject(options: ElfObjectOptions = {}): Buffer {
  const { class: bits = 64, endian = 'little', machine = 62 } = options
  const is64 = bits === 64
  const word = is64 ? 8 : 4
  const strings = new Strings()
  const tags: [number, number][] = (options.needed ?? []).map((name) => [1, strings.add(name)])
  if (options.soname !== undefined) tags.push([14, strings.add(options.soname)])
  if (options.rpath !== undefined) tags.push([15, strings.add(options.rpath)])
  if (options.runpath !== undefined) tags.push([29, strings.add(options.runpath)])
  const interpreter = Buffer.from(
    options.interpreter === undefined ? '' : `${options.interpreter}\0`,
  )
  const table = strings.bytes()
  const headerSize = is64 ? 64 : 52
  const segmentSize = is64 ? 56 : 32
  const hasInterpreter = interpreter.length > 0
  const count = hasInterpreter ? 3 : 2
  const dynamicAt = headerSize + count * segmentSize
  const dynamicSize = (tags.length + 3) * word * 2
  const stringsAt = dynamicAt + dynamicSize
  const interpreterAt = stringsAt + table.length
  const size = interpreterAt + interpreter.length
  /** Addresses differ from offsets, so that a reader which mixes them up fails. */
  const base = 0x1000
  const out = new Writer(size, endian === 'little', is64)
  out.bytes(0, Buffer.from([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, endian === 'little' ? 1 : 2, 1]))
  out.u16(16, 3)
  out.u16(18, machine)
  out.word(is64 ? 32 : 28, headerSize)
  out.u16(is64 ? 54 : 42, segmentSize)
  out.u16(is64 ? 56 : 44, count)
  const segments = [
    [1, 0, base, size],
    [2, dynamicAt, base + dynamicAt, dynamicSize],
    ...(hasInterpreter ? [[3, interpreterAt, base + interpreterAt, interpreter.length]] : []),
  ]
  for (const [index, [type = 0, offset = 0, address = 0, length = 0]] of segments.entries()) {
    const at = headerSize + index * segmentSize
    out.u32(at, type)
    out.word(at + (is64 ? 8 : 4), offset)
    out.word(at + (is64 ? 16 : 8), address)
    out.word(at + (is64 ? 32 : 16), length)
  }
  const entries = [...tags, [5, base + stringsAt], [10, table.length], [0, 0]]
  for (const [index, [tag = 0, value = 0]] of entries.entries()) {
    out.word(dynamicAt + index * word * 2, tag)
    out.word(dynamicAt + index * word * 2 + word, value)
  }
  out.bytes(stringsAt, table)
  out.bytes(interpreterAt, interpreter)
  return out.buffer
}

class Strings {
  #text = '\0'
  add(name: string): number {
    const at = this.#text.length
    this.#text += `${name}\0`
    return at
  }
  bytes(): Buffer {
    return Buffer.from(this.#text, 'latin1')
  }
}

class Writer {
  readonly buffer: Buffer
  readonly #view: DataView
  readonly #little: boolean
  readonly #is64: boolean
  constructor(size: number, little: boolean, is64: boolean) {
    this.buffer = Buffer.alloc(size)
    this.#view = new DataView(this.buffer.buffer, this.buffer.byteOffset, size)
    this.#little = little
    this.#is64 = is64
  }
  bytes(at: number, bytes: Uint8Array): void {
    this.buffer.set(bytes, at)
  }
  u16(at: number, value: number): void {
    this.#view.setUint16(at, value, this.#little)
  }
  u32(at: number, value: number): void {
    this.#view.setUint32(at, value, this.#little)
  }
  word(at: number, value: number): void {
    if (this.#is64) this.#view.setBigUint64(at, BigInt(value), this.#little)
    else this.u32(at, value)
  }
}
