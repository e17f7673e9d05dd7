/** What a loader needs to know of an ELF object (System V ABI, gabi chapters 4 and 5), read without running anything: the file may be hostile. */
import { open } from 'node:fs/promises'
import { DebianError } from './debian-error.ts'

export interface ElfFacts {
  /** 32 or 64: objects load only with others of their own class. */
  readonly class: 32 | 64
  readonly endian: 'little' | 'big'
  /** e_machine: 62 = x86-64, 183 = AArch64. */
  readonly machine: number
  readonly type: 'executable' | 'shared' | 'other'
  /** PT_INTERP, null for what is not started through a dynamic loader. */
  readonly interpreter: string | null
  /** DT_NEEDED in order: file names of libraries. */
  readonly needed: readonly string[]
  readonly soname: string | null
  /** DT_RPATH and DT_RUNPATH, split at colons; may hold `$ORIGIN`. */
  readonly rpath: readonly string[]
  readonly runpath: readonly string[]
}

/**
 * Facts of an ELF object, given as its bytes or the path of its file; null for anything that is none. Reads only the parts it needs.
 * @throws DebianError ELF_INVALID for one that begins as an ELF object and whose tables point outside of it
 */
export async function neededLibraries(
  elf: Uint8Array | { readonly file: string },
): Promise<ElfFacts | null> {
  if (elf instanceof Uint8Array) return readElf(new BytesSource(elf))
  const file = await open(elf.file, 'r')
  try {
    const { size } = await file.stat()
    return await readElf({
      size,
      read: async (at, length) => {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at)
        return buffer.subarray(0, bytesRead)
      },
    })
  } finally {
    await file.close()
  }
}

interface Source {
  readonly size: number
  read(at: number, length: number): Promise<Uint8Array>
}

class BytesSource implements Source {
  readonly #bytes: Uint8Array
  readonly size: number
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.size = bytes.length
  }
  read(at: number, length: number): Promise<Uint8Array> {
    return Promise.resolve(this.#bytes.subarray(at, at + length))
  }
}

const PT_LOAD = 1
const PT_DYNAMIC = 2
const PT_INTERP = 3
const DT = { null: 0, needed: 1, strtab: 5, strsz: 10, soname: 14, rpath: 15, runpath: 29 } as const
/** Far above what linkers make; bounds what a made-up file may cost. */
const MAX = { segments: 512, dynamic: 1 << 20, strings: 64 << 20, interpreter: 4096 } as const

async function readElf(source: Source): Promise<ElfFacts | null> {
  const ident = await source.read(0, 16)
  if (ident.length < 16 || Buffer.from(ident.subarray(0, 4)).toString('latin1') !== '\x7fELF') {
    return null
  }
  const layout = { is64: ident[4] === 2, little: ident[5] === 1 }
  if ((ident[4] !== 1 && ident[4] !== 2) || (ident[5] !== 1 && ident[5] !== 2)) {
    throw invalid('unknown class or byte order')
  }
  const header = await view(source, 0, layout.is64 ? 64 : 52, layout.little)
  const segments = await readSegments(source, header, layout)
  const type = header.u16(16)
  const dynamic = segments.find((one) => one.type === PT_DYNAMIC)
  const empty = { needed: [], soname: null, rpath: [], runpath: [] }
  return {
    class: layout.is64 ? 64 : 32,
    endian: layout.little ? 'little' : 'big',
    machine: header.u16(18),
    type: type === 2 ? 'executable' : type === 3 ? 'shared' : 'other',
    interpreter: await readInterpreter(source, segments),
    ...(dynamic === undefined ? empty : await readDynamic(source, dynamic, segments, layout)),
  }
}

interface Layout {
  readonly is64: boolean
  readonly little: boolean
}

interface Segment {
  readonly type: number
  readonly offset: number
  readonly address: number
  readonly size: number
}

async function readSegments(source: Source, header: View, layout: Layout): Promise<Segment[]> {
  const { is64, little } = layout
  const at = is64 ? header.u64(32) : header.u32(28)
  const entrySize = header.u16(is64 ? 54 : 42)
  const count = header.u16(is64 ? 56 : 44)
  if (count === 0) return []
  if (count > MAX.segments || entrySize < (is64 ? 56 : 32))
    throw invalid('bad program header table')
  const table = await view(source, at, count * entrySize, little)
  return Array.from({ length: count }, (_, index) => {
    const base = index * entrySize
    return is64
      ? {
          type: table.u32(base),
          offset: table.u64(base + 8),
          address: table.u64(base + 16),
          size: table.u64(base + 32),
        }
      : {
          type: table.u32(base),
          offset: table.u32(base + 4),
          address: table.u32(base + 8),
          size: table.u32(base + 16),
        }
  })
}

async function readInterpreter(
  source: Source,
  segments: readonly Segment[],
): Promise<string | null> {
  const segment = segments.find((one) => one.type === PT_INTERP)
  if (segment === undefined) return null
  if (segment.size > MAX.interpreter) throw invalid('interpreter path too long')
  const bytes = await bounded(source, segment.offset, segment.size)
  return cString(bytes, 0)
}

async function readDynamic(
  source: Source,
  dynamic: Segment,
  segments: readonly Segment[],
  layout: Layout,
): Promise<Pick<ElfFacts, 'needed' | 'soname' | 'rpath' | 'runpath'>> {
  const entries = await readEntries(source, dynamic, layout)
  const first = (tag: number): number | undefined => entries.find((one) => one.tag === tag)?.value
  const address = first(DT.strtab)
  const length = first(DT.strsz)
  const offsets = (tag: number) => entries.filter((one) => one.tag === tag).map((one) => one.value)
  const wanted = [DT.needed, DT.soname, DT.rpath, DT.runpath].flatMap(offsets)
  if (wanted.length === 0) return { needed: [], soname: null, rpath: [], runpath: [] }
  if (address === undefined || length === undefined) throw invalid('no dynamic string table')
  if (length > MAX.strings) throw invalid('dynamic string table too large')
  const strings = await bounded(source, fileOffset(segments, address), length)
  const names = (tag: number): string[] => offsets(tag).map((offset) => cString(strings, offset))
  const paths = (tag: number): string[] =>
    names(tag).flatMap((text) => text.split(':').filter((path) => path !== ''))
  return {
    needed: names(DT.needed),
    soname: names(DT.soname)[0] ?? null,
    rpath: paths(DT.rpath),
    runpath: paths(DT.runpath),
  }
}

async function readEntries(
  source: Source,
  dynamic: Segment,
  { is64, little }: Layout,
): Promise<{ readonly tag: number; readonly value: number }[]> {
  if (dynamic.size > MAX.dynamic) throw invalid('dynamic section too large')
  const table = await view(source, dynamic.offset, dynamic.size, little)
  const width = is64 ? 16 : 8
  const entries: { tag: number; value: number }[] = []
  for (let at = 0; at + width <= dynamic.size; at += width) {
    const tag = is64 ? table.tag64(at) : table.u32(at)
    if (tag === DT.null) break
    // Values of other tags may be any 64 bits, so only those asked for have to be numbers we can hold.
    if (!wantedTags.has(tag)) continue
    entries.push({ tag, value: is64 ? table.u64(at + 8) : table.u32(at + 4) })
  }
  return entries
}

const wantedTags: ReadonlySet<number> = new Set(Object.values(DT))

function fileOffset(segments: readonly Segment[], address: number): number {
  const holder = segments.find(
    (one) => one.type === PT_LOAD && address >= one.address && address < one.address + one.size,
  )
  if (holder === undefined) throw invalid('string table lies in no segment')
  return holder.offset + (address - holder.address)
}

async function bounded(source: Source, at: number, length: number): Promise<Uint8Array> {
  if (at + length > source.size) throw invalid('a table lies outside of the file')
  const bytes = await source.read(at, length)
  if (bytes.length !== length) throw invalid('a table is cut off')
  return bytes
}

async function view(source: Source, at: number, length: number, little: boolean): Promise<View> {
  return new View(await bounded(source, at, length), little)
}

/** Reads numbers; the caller stays within what it asked for. */
class View {
  readonly #data: DataView
  readonly #little: boolean
  constructor(bytes: Uint8Array, little: boolean) {
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#little = little
  }
  u16(at: number): number {
    return this.#data.getUint16(at, this.#little)
  }
  u32(at: number): number {
    return this.#data.getUint32(at, this.#little)
  }
  u64(at: number): number {
    const value = this.#data.getBigUint64(at, this.#little)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid('a number is too large')
    return Number(value)
  }
  /** Tags beyond the range of exact numbers are none that we know. */
  tag64(at: number): number {
    return Number(this.#data.getBigUint64(at, this.#little))
  }
}

function cString(bytes: Uint8Array, at: number): string {
  const end = bytes.indexOf(0, at)
  if (at >= bytes.length || end === -1) throw invalid('a name lies outside of the string table')
  return Buffer.from(bytes.subarray(at, end)).toString('utf8')
}

function invalid(why: string): DebianError {
  return new DebianError('ELF_INVALID', `broken ELF object: ${why}`)
}
