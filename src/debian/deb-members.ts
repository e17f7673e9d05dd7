/** The two tar streams inside a .deb (deb(5)): by dpkg-deb where the host has it, else by reading the ar container. */
import { createReadStream } from 'node:fs'
import { open, rm, writeFile, type FileHandle } from 'node:fs/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { ProgramError } from '../lib/process.ts'
import { DebianError } from './debian-error.ts'
import { programOutput } from './program-output.ts'

export type DebMember = 'control' | 'data'

/** The uncompressed tar stream of a member of the .deb at `path`. @throws DebianError DEB_INVALID, ProgramError */
export async function* debMember(path: string, member: DebMember): AsyncGenerator<Uint8Array> {
  const option = member === 'data' ? '--fsys-tarfile' : '--ctrl-tarfile'
  try {
    yield* programOutput('dpkg-deb', [option, path])
  } catch (error) {
    if (!(error instanceof ProgramError) || error.cause === undefined) throw error
    // dpkg-deb cannot be started, so nothing was handed out yet.
    yield* arMember(path, member)
  }
}

/** As `debMember`, without dpkg-deb; needs the program xz for members packed with it. */
export async function* arMember(path: string, member: DebMember): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r')
  let found: Member
  try {
    found = await findMember(file, `${member}.tar`)
  } finally {
    await file.close()
  }
  const range = { start: found.start, end: found.start + found.size - 1, highWaterMark: 1 << 18 }
  const packed = createReadStream(path, range)
  const suffix = found.name.slice(`${member}.tar`.length)
  if (suffix === '') yield* packed as AsyncIterable<Uint8Array>
  else if (suffix === '.xz') yield* unpackXz(packed, `${path}.${member}.${process.pid}.tmp`)
  else if (suffix === '.gz' || suffix === '.zst') {
    const unpack = suffix === '.gz' ? createGunzip() : createZstdDecompress()
    packed.on('error', (error) => unpack.destroy(error))
    yield* packed.pipe(unpack) as AsyncIterable<Uint8Array>
  } else throw new DebianError('DEB_INVALID', `${path}: unknown compression of ${found.name}`)
}

interface Member {
  readonly name: string
  readonly start: number
  readonly size: number
}

async function findMember(file: FileHandle, prefix: string): Promise<Member> {
  const { size: total } = await file.stat()
  const magic = await readAt(file, 0, 8)
  if (magic !== '!<arch>\n') throw new DebianError('DEB_INVALID', 'not a .deb: no ar magic')
  for (let at = 8; at + 60 <= total;) {
    const header = await readAt(file, at, 60)
    const name = header.slice(0, 16).trimEnd().replace(/\/$/, '')
    const size = header.slice(48, 58).trim()
    if (!header.endsWith('`\n') || !/^\d{1,10}$/.test(size)) {
      throw new DebianError('DEB_INVALID', 'not a .deb: a broken ar header')
    }
    const member = { name, start: at + 60, size: Number(size) }
    if (member.start + member.size > total) {
      throw new DebianError('DEB_INVALID', `.deb member ${name} is cut off`)
    }
    if (name.startsWith(prefix)) return member
    at = member.start + member.size + (member.size % 2)
  }
  throw new DebianError('DEB_INVALID', `.deb has no member ${prefix}`)
}

async function readAt(file: FileHandle, position: number, length: number): Promise<string> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position)
  return buffer.toString('latin1', 0, bytesRead)
}

/** xz reads a file of its own: input through a pipe could not be held back while nobody reads its output. */
async function* unpackXz(
  packed: AsyncIterable<Uint8Array>,
  temporary: string,
): AsyncGenerator<Uint8Array> {
  try {
    await writeFile(temporary, packed)
    yield* programOutput('xz', ['--format=xz', '--decompress', '--stdout', '--', temporary])
  } finally {
    await rm(temporary, { force: true })
  }
}
