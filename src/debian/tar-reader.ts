/**
 * The tar dialect of .deb members (deb(5)): ustar and v7 headers, GNU long names, pax path, linkpath and size. Strict: anything else, and any path that could leave
 * the root, is refused.
 */
import { DebianError } from './debian-error.ts'

export interface TarEntry {
  /** Absolute and normalised; `/` is the root folder. */
  readonly path: string
  readonly type: 'file' | 'hardlink' | 'symlink' | 'folder'
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of content, 0 for all but files. */
  readonly size: number
  /** Link target: of a hard link like `path`, of a symbolic link as written. '' for others. */
  readonly target: string
}

/** Called once per entry in order; what it leaves of the content is skipped. */
export type TarVisitor = (entry: TarEntry, content: AsyncIterable<Uint8Array>) => Promise<void>

const BLOCK = 512
const MAX_EXTENSION = 1 << 20

/** @throws DebianError DEB_INVALID */
export async function readTar(chunks: AsyncIterable<Uint8Array>, visit: TarVisitor): Promise<void> {
  const bytes = new ByteReader(chunks)
  let extended: Extended = {}
  for (;;) {
    const block = await bytes.exactly(BLOCK)
    if (block === null) throw invalid('it ends without an end mark')
    if (block.every((byte) => byte === 0)) break
    const header = parseHeader(block)
    if (isExtension(header.type)) {
      extended = { ...extended, ...(await readExtension(bytes, header)) }
      continue
    }
    const entry = toEntry(header, extended)
    extended = {}
    const content = new Content(bytes, entry.size)
    await visit(entry, content)
    await content.skip()
  }
  // Read to the end: whoever writes into a pipe must not find it closed.
  while ((await bytes.some(1 << 20)) !== null);
}

interface Extended {
  readonly path?: string
  readonly target?: string
  readonly size?: number
}

interface Header {
  readonly name: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly type: string
  readonly link: string
}

function parseHeader(block: Uint8Array): Header {
  let sum = 0
  for (const [at, byte] of block.entries()) sum += at >= 148 && at < 156 ? 0x20 : byte
  if (sum !== number(block, 148, 8)) throw invalid('a header has a wrong checksum')
  const magic = field(block, 257, 5)
  if (magic !== 'ustar' && magic !== '') throw invalid('a header is of an unknown kind')
  // GNU headers (magic "ustar  ") use the place of the prefix for times.
  const isPosix = magic === 'ustar' && block[262] === 0
  const prefix = isPosix ? field(block, 345, 155) : ''
  const name = field(block, 0, 100)
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size: number(block, 124, 12),
    type: String.fromCharCode(block[156] ?? 0),
    link: field(block, 157, 100),
  }
}

const entryTypes: Readonly<Record<string, TarEntry['type']>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'folder',
}

function toEntry(header: Header, extended: Extended): TarEntry {
  const name = extended.path ?? header.name
  const type = entryTypes[header.type]
  if (type === undefined) throw invalid(`${name} is of a type that no package needs`)
  const link = extended.target ?? header.link
  const path = normalise(name)
  if (type !== 'folder' && path === '/') throw invalid(`"${name}" is no path of a ${type}`)
  if (type === 'symlink' && link === '') throw invalid(`${name} is a link to nothing`)
  return {
    path,
    type,
    mode: header.mode,
    uid: header.uid,
    gid: header.gid,
    size: type === 'file' ? (extended.size ?? header.size) : 0,
    target: type === 'symlink' ? link : type === 'hardlink' ? normalise(link) : '',
  }
}

function normalise(name: string): string {
  if (name.length > 4096) throw invalid('a path is longer than 4096 bytes')
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw invalid(`"${name}" leads out of its folder`)
  return `/${parts.join('/')}`
}

/** Types of headers which describe the next one: GNU long link and long name, pax local and global. */
function isExtension(type: string): boolean {
  return 'KLxg'.includes(type)
}

async function readExtension(bytes: ByteReader, header: Header): Promise<Extended> {
  if (header.size > MAX_EXTENSION) throw invalid('a header extension is too long')
  const padded = Math.ceil(header.size / BLOCK) * BLOCK
  const body = await bytes.exactly(padded)
  if (body === null) throw invalid('it ends within a header extension')
  const content = body.subarray(0, header.size)
  if (header.type === 'L') return { path: field(content, 0, content.length) }
  if (header.type === 'K') return { target: field(content, 0, content.length) }
  return header.type === 'x' ? parsePax(content) : {}
}

/** Records of the form `<length> <key>=<value>\n`, the length counting the whole record in bytes. */
function parsePax(content: Uint8Array): Extended {
  let extended: Extended = {}
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(0x20, at)
    const length = Number(decode(content.subarray(at, space)))
    if (space === -1 || !Number.isSafeInteger(length) || length <= space - at + 1) {
      throw invalid('a pax record has no length')
    }
    if (at + length > content.length) throw invalid('a pax record is longer than its header')
    const record = decode(content.subarray(space + 1, at + length - 1))
    const equals = record.indexOf('=')
    extended = { ...extended, ...paxField(record.slice(0, equals), record.slice(equals + 1)) }
    at += length
  }
  return extended
}

function paxField(key: string, value: string): Extended {
  if (key === 'path' || key === 'linkpath') {
    if (value.includes('\0')) throw invalid('a path holds a NUL')
    return key === 'path' ? { path: value } : { target: value }
  }
  if (key !== 'size') return {}
  if (!/^\d{1,15}$/.test(value)) throw invalid(`a pax size is "${value}"`)
  return { size: Number(value) }
}

function field(block: Uint8Array, at: number, length: number): string {
  const bytes = block.subarray(at, at + length)
  const end = bytes.indexOf(0)
  return decode(end === -1 ? bytes : bytes.subarray(0, end))
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new DebianError('DEB_INVALID', 'tar: a name is not UTF-8', cause)
  }
}

/** Octal digits, or a big-endian binary number where the first bit is set (GNU). */
function number(block: Uint8Array, at: number, length: number): number {
  const bytes = block.subarray(at, at + length)
  const first = bytes[0] ?? 0
  if ((first & 0x80) !== 0) {
    let value = first & 0x7f
    for (const byte of bytes.subarray(1)) value = value * 256 + byte
    if (!Number.isSafeInteger(value)) throw invalid('a number is too large')
    return value
  }
  const text = Buffer.from(bytes)
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trimStart()
  if (!/^[0-7]*$/.test(text)) throw invalid('a number is not octal')
  return text === '' ? 0 : parseInt(text, 8)
}

function invalid(why: string): DebianError {
  return new DebianError('DEB_INVALID', `tar: ${why}`)
}

/** The content of one entry, with its padding. */
class Content implements AsyncIterable<Uint8Array> {
  readonly #bytes: ByteReader
  readonly #padding: number
  #left: number

  constructor(bytes: ByteReader, size: number) {
    this.#bytes = bytes
    this.#left = size
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (this.#left > 0) {
      const chunk = await this.#bytes.some(this.#left)
      if (chunk === null) throw invalid('it ends within a file')
      this.#left -= chunk.length
      yield chunk
    }
  }

  async skip(): Promise<void> {
    while (this.#left > 0) {
      const chunk = await this.#bytes.some(this.#left)
      if (chunk === null) throw invalid('it ends within a file')
      this.#left -= chunk.length
    }
    if ((await this.#bytes.exactly(this.#padding)) === null) throw invalid('it ends within a file')
  }
}

class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>
  #buffer: Uint8Array = new Uint8Array(0)

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** Between 1 and `limit` bytes; null at the end. */
  async some(limit: number): Promise<Uint8Array | null> {
    while (this.#buffer.length === 0) {
      const next = await this.#chunks.next()
      if (next.done === true) return null
      this.#buffer = next.value
    }
    const taken = this.#buffer.subarray(0, limit)
    this.#buffer = this.#buffer.subarray(taken.length)
    return taken
  }

  /** Null where fewer are left. */
  async exactly(count: number): Promise<Uint8Array | null> {
    if (this.#buffer.length >= count) {
      const taken = this.#buffer.subarray(0, count)
      this.#buffer = this.#buffer.subarray(count)
      return taken
    }
    const result = new Uint8Array(count)
    for (let at = 0; at < count;) {
      const part = await this.some(count - at)
      if (part === null) return null
      result.set(part, at)
      at += part.length
    }
    return result
  }
}
