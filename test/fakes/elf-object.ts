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

/** Addresses differ from offsets by this, so that a reader which mixes them up fails. */
const BASE = 0x1000

export function elfObject(options: ElfObjectOptions = {}): Buffer {
  const { class: bits = 64, endian = 'little', machine = 62 } = options
  const is64 = bits === 64
  const { tags, table } = dynamicTags(options)
  const interpreter = Buffer.from(
    options.interpreter === undefined ? '' : `${options.interpreter}\0`,
  )
  const sizes = is64 ? { header: 64, segment: 56, word: 8 } : { header: 52, segment: 32, word: 4 }
  const count = interpreter.length > 0 ? 3 : 2
  const dynamicAt = sizes.header + count * sizes.segment
  const dynamicSize = (tags.length + 3) * sizes.word * 2
  const stringsAt = dynamicAt + dynamicSize
  const interpreterAt = stringsAt + table.length
  const size = interpreterAt + interpreter.length
  const out = new Writer(size, endian === 'little', is64)
  out.bytes(0, Buffer.from([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, endian === 'little' ? 1 : 2, 1]))
  out.u16(16, 3)
  out.u16(18, machine)
  out.word(is64 ? 32 : 28, sizes.header)
  out.u16(is64 ? 54 : 42, sizes.segment)
  out.u16(is64 ? 56 : 44, count)
  out.segments(sizes.header, [
    [1, 0, size],
    [2, dynamicAt, dynamicSize],
    ...(interpreter.length > 0 ? [[3, interpreterAt, interpreter.length] as const] : []),
  ])
  out.pairs(dynamicAt, [...tags, [5, BASE + stringsAt], [10, table.length], [0, 0]])
  out.bytes(stringsAt, table)
  out.bytes(interpreterAt, interpreter)
  return out.buffer
}

type Pair = readonly [tag: number, value: number]

function dynamicTags(options: ElfObjectOptions): { readonly tags: Pair[]; readonly table: Buffer } {
  const strings = new Strings()
  const single = [
    [14, options.soname],
    [15, options.rpath],
    [29, options.runpath],
  ] as const
  const tags: Pair[] = (options.needed ?? []).map((name) => [1, strings.add(name)])
  for (const [tag, text] of single) if (text !== undefined) tags.push([tag, strings.add(text)])
  return { tags, table: strings.bytes() }
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
  segments(at: number, list: readonly (readonly [type: number, offset: number, size: number])[]) {
    const size = this.#is64 ? 56 : 32
    for (const [index, [type, offset, length]] of list.entries()) {
      const start = at + index * size
      this.u32(start, type)
      this.word(start + (this.#is64 ? 8 : 4), offset)
      this.word(start + (this.#is64 ? 16 : 8), BASE + offset)
      this.word(start + (this.#is64 ? 32 : 16), length)
    }
  }
  pairs(at: number, list: readonly Pair[]): void {
    const width = this.#is64 ? 8 : 4
    for (const [index, [tag, value]] of list.entries()) {
      this.word(at + index * width * 2, tag)
      this.word(at + index * width * 2 + width, value)
    }
  }
  word(at: number, value: number): void {
    if (this.#is64) this.#view.setBigUint64(at, BigInt(value), this.#little)
    else this.u32(at, value)
  }
}
