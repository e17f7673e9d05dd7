import type { ReadRange } from './zip.ts'

export interface Elf {
  readonly type: 'executable' | 'other'
  /** Node's names of architectures where known: 'x64', 'arm64', else 'machine 8'. */
  readonly machine: string
  /** Dynamic loader that it asks for; null = statically linked. */
  readonly interpreter: string | null
}

const MACHINES: Readonly<Record<number, string>> = {
  3: 'ia32',
  40: 'arm',
  62: 'x64',
  183: 'arm64',
  243: 'riscv64',
}
const PT_INTERP = 3

/** Header and program headers of a 64-bit little-endian ELF file (System V ABI, chapters 4 and 5); null for anything else. */
export async function readElf(read: ReadRange): Promise<Elf | null> {
  const header = await read(0, 64)
  if (header?.length !== 64 || header.subarray(0, 4).toString('latin1') !== '\x7fELF') return null
  if (header[4] !== 2 || header[5] !== 1) return null
  const type = header.readUInt16LE(16)
  const number = header.readUInt16LE(18)
  const interpreter = await readInterpreter(header, read)
  // Position-independent executables have the type of shared objects (3); a start address tells them apart from libraries.
  const runs = type === 2 || (type === 3 && header.readBigUInt64LE(24) !== 0n)
  return {
    type: runs ? 'executable' : 'other',
    machine: MACHINES[number] ?? `machine ${number}`,
    interpreter,
  }
}

async function readInterpreter(header: Buffer, read: ReadRange): Promise<string | null> {
  const start = Number(header.readBigUInt64LE(32))
  const size = header.readUInt16LE(54)
  const count = Math.min(header.readUInt16LE(56), 128)
  if (size < 56 || !Number.isSafeInteger(start)) return null
  const table = await read(start, size * count)
  if (table?.length !== size * count) return null
  for (let index = 0; index < count; index++) {
    const entry = table.subarray(index * size)
    if (entry.readUInt32LE(0) !== PT_INTERP) continue
    const length = Math.min(Number(entry.readBigUInt64LE(32)), 4096)
    const text = await read(Number(entry.readBigUInt64LE(8)), length)
    return text?.toString('latin1').replace(/\0.*$/s, '') ?? null
  }
  return null
}
