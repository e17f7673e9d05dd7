import { inflateRawSync } from 'node:zlib'

/** Reads ranges of a file: negative offsets count from the end. */
export type ReadRange = (offset: number, length: number) => Promise<Buffer | null>

export interface ZipEntry {
  readonly name: string
  readonly method: number
  readonly compressedSize: number
  readonly size: number
  readonly localOffset: number
}

/** PKWARE APPNOTE 4.3.16: end record, then 4.3.12: central directory. */
const END = 0x06054b50
const CENTRAL = 0x02014b50
const LOCAL = 0x04034b50
const MAX_DIRECTORY = 64 * 2 ** 20
const MAX_CONTENT = 16 * 2 ** 20

/** The central directory of a zip (a jar is one), by name; null where the file is no zip. Zip64 archives are not read. */
export async function readZip(
  size: number,
  read: ReadRange,
): Promise<ReadonlyMap<string, ZipEntry> | null> {
  const tailLength = Math.min(size, 65_557)
  const tail = await read(size - tailLength, tailLength)
  if (tail === null) return null
  const end = tail.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]))
  if (end < 0 || end + 22 > tail.length || tail.readUInt32LE(end) !== END) return null
  const length = tail.readUInt32LE(end + 12)
  const declared = tail.readUInt32LE(end + 16)
  if (length > MAX_DIRECTORY || declared === 0xffff_ffff) return null
  // Executable jars may have a script before the zip: the directory ends where the end record begins.
  const start = size - tailLength + end - length
  const prefix = start - declared
  if (start < 0 || prefix < 0) return null
  const directory = await read(start, length)
  return directory?.length === length ? parseDirectory(directory, prefix) : null
}

/** Content of one entry; null where it is too large, encrypted, broken or of a method other than store and deflate. */
export async function readZipEntry(entry: ZipEntry, read: ReadRange): Promise<Buffer | null> {
  if (entry.size > MAX_CONTENT || entry.compressedSize > MAX_CONTENT) return null
  const local = await read(entry.localOffset, 30)
  if (local?.length !== 30 || local.readUInt32LE(0) !== LOCAL) return null
  const start = entry.localOffset + 30 + local.readUInt16LE(26) + local.readUInt16LE(28)
  const data = await read(start, entry.compressedSize)
  if (data?.length !== entry.compressedSize) return null
  if (entry.method === 0) return data
  if (entry.method !== 8) return null
  try {
    return inflateRawSync(data, { maxOutputLength: MAX_CONTENT })
  } catch {
    // Broken deflate data: the same answer as for any other content that cannot be read.
    return null
  }
}

function parseDirectory(directory: Buffer, prefix: number): ReadonlyMap<string, ZipEntry> {
  const entries = new Map<string, ZipEntry>()
  let at = 0
  while (at + 46 <= directory.length && directory.readUInt32LE(at) === CENTRAL) {
    const nameLength = directory.readUInt16LE(at + 28)
    const extra = directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32)
    const name = directory.subarray(at + 46, at + 46 + nameLength).toString('utf8')
    entries.set(name, {
      name,
      method: directory.readUInt16LE(at + 10),
      compressedSize: directory.readUInt32LE(at + 20),
      size: directory.readUInt32LE(at + 24),
      localOffset: directory.readUInt32LE(at + 42) + prefix,
    })
    at += 46 + nameLength + extra
  }
  return entries
}
