import { open, type FileHandle } from 'node:fs/promises'
import { FairwayError } from '../model/errors.ts'

/**
 * Names of the files in a jar, from the zip's central directory (APPNOTE 4.3.12). Nothing is unpacked: the file may be hostile.
 * @throws FairwayError INVALID_SOURCE for what is no zip
 */
export async function jarNames(file: string, name: string): Promise<readonly string[]> {
  const handle = await open(file, 'r')
  try {
    const directory = await readDirectory(handle)
    if (directory !== null) return directory
  } finally {
    await handle.close()
  }
  throw new FairwayError('INVALID_SOURCE', `${name} is not a jar: it has no zip directory`)
}

/** Does the jar bring further jars inside (Spring Boot, wars)? Their classes are out of jdeps' sight. */
export function hasNestedJars(names: readonly string[]): boolean {
  return names.some((name) => /\.(?:jar|war)$/i.test(name))
}

const END_SIGNATURE = 0x06054b50
const ENTRY_SIGNATURE = 0x02014b50
/** The end record and the longest comment. */
const END_SEARCH_BYTES = 22 + 0xffff
const MAX_DIRECTORY_BYTES = 64 * 1024 ** 2

async function readDirectory(handle: FileHandle): Promise<readonly string[] | null> {
  const { size } = await handle.stat()
  const tail = await read(
    handle,
    Math.max(0, size - END_SEARCH_BYTES),
    Math.min(size, END_SEARCH_BYTES),
  )
  for (let at = tail.length - 22; at >= 0; at -= 1) {
    if (tail.readUInt32LE(at) !== END_SIGNATURE) continue
    const length = tail.readUInt32LE(at + 12)
    const start = tail.readUInt32LE(at + 16)
    if (length > MAX_DIRECTORY_BYTES || start + length > size) return null
    return entryNames(await read(handle, start, length))
  }
  return null
}

function entryNames(directory: Buffer): readonly string[] | null {
  const names: string[] = []
  let at = 0
  while (at + 46 <= directory.length) {
    if (directory.readUInt32LE(at) !== ENTRY_SIGNATURE) return null
    const nameLength = directory.readUInt16LE(at + 28)
    names.push(directory.toString('utf8', at + 46, at + 46 + nameLength))
    at += 46 + nameLength + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32)
  }
  return names
}

async function read(handle: FileHandle, at: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, at)
  return buffer.subarray(0, bytesRead)
}
