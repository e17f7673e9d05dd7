import { BLOCK, paddingOf } from './tar-header.ts'
import { OciError } from './oci-error.ts'

export interface TarLimits {
  readonly maxEntries: number
  /** Of one pax or GNU long-name header. */
  readonly maxHeaderBytes: number
  readonly maxPathBytes: number
}

export const TAR_LIMITS: TarLimits = {
  maxEntries: 2_000_000,
  maxHeaderBytes: 1 << 20,
  maxPathBytes: 4096,
}

export interface TarEntry {
  readonly type: 'file' | 'hardlink' | 'symlink' | 'directory' | 'special'
  /** As it stands in the archive: may be absolute or contain '..'. */
  readonly path: string
  readonly linkpath: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes that follow; 0 for anything but a file. */
  readonly size: number
  readonly mtime: number
  /** Names only. */
  readonly xattrs: readonly string[]
}

/**
 * Strict streaming reader of ustar, pax and GNU tar: wrong checksums, truncation, sparse files, unknown types and bytes after the end are
 * errors, because two readers that guess differently see two different images. @throws OciError INVALID_IMAGE, TOO_LARGE
 */
export class TarReader {
  readonly #bytes: ByteQueue
  readonly #limits: TarLimits
  #left = 0
  #padding = 0
  #entries = 0

  constructor(source: AsyncIterable<Uint8Array>, limits: TarLimits = TAR_LIMITS) {
    this.#bytes = new ByteQueue(source)
    this.#limits = limits
  }

  /** The next entry, after skipping what was not read of this one's content. Null at the end, with the source read to its end. */
  async next(): Promise<TarEntry | null> {
    await this.#skipContent()
    const extended = new Map<string, string>()
    for (;;) {
      const block = await this.#bytes.takeOrEnd(BLOCK)
      if (block === null || isZero(block)) return await this.#end(block, extended)
      this.#entries += 1
      if (this.#entries > this.#limits.maxEntries) {
        throw new OciError(
          'TOO_LARGE',
          `the archive has more than ${this.#limits.maxEntries} entries`,
        )
      }
      const header = parseBlock(block)
      if (!(await this.#readExtension(header, extended))) return this.#entry(header, extended)
    }
  }

  /** Chunks of the current entry's content; may be left early. */
  async *content(): AsyncGenerator<Buffer> {
    while (this.#left > 0) {
      const chunk = await this.#bytes.some(this.#left)
      this.#left -= chunk.length
      yield chunk
    }
    if (this.#padding > 0) await this.#bytes.take(this.#padding)
    this.#padding = 0
  }

  // Private

  async #skipContent(): Promise<void> {
    const content = this.content()
    while ((await content.next()).done !== true) continue
  }

  /** True where the header was not an entry but said something about the next one. */
  async #readExtension(header: Block, extended: Map<string, string>): Promise<boolean> {
    const { typeflag, size } = header
    if (!'xgLK'.includes(typeflag)) return false
    if (size > this.#limits.maxHeaderBytes) {
      throw new OciError('TOO_LARGE', `an extended header of ${size} bytes`)
    }
    const body = await this.#bytes.take(size)
    await this.#bytes.take(paddingOf(size))
    if (typeflag === 'L' || typeflag === 'K') {
      extended.set(typeflag === 'L' ? 'path' : 'linkpath', text(body))
      return true
    }
    for (const [key, value] of paxRecords(body)) {
      // Global headers are comments in practice (git archive); one that changes entries is a trick.
      if (typeflag === 'x') extended.set(key, value)
      else if (key !== 'comment') throw invalid(`global pax header sets ${key}`)
    }
    return true
  }

  #entry(header: Block, extended: ReadonlyMap<string, string>): TarEntry {
    const path = extended.get('path') ?? header.path
    const type = typeOf(header.typeflag, path)
    for (const key of extended.keys()) {
      if (key.startsWith('GNU.sparse.')) throw invalid(`${path}: sparse files are not supported`)
    }
    const linkpath = extended.get('linkpath') ?? header.linkpath
    if (Math.max(path.length, linkpath.length) > this.#limits.maxPathBytes) {
      throw new OciError('TOO_LARGE', `a path of more than ${this.#limits.maxPathBytes} characters`)
    }
    if (path.includes('\0') || linkpath.includes('\0')) throw invalid('a path contains a zero byte')
    const size = number(extended, 'size') ?? header.size
    this.#left = type === 'file' ? size : 0
    this.#padding = type === 'file' ? paddingOf(size) : 0
    return {
      type,
      path,
      linkpath,
      mode: header.mode & 0o7777,
      uid: number(extended, 'uid') ?? header.uid,
      gid: number(extended, 'gid') ?? header.gid,
      size: this.#left,
      mtime: time(extended.get('mtime')) ?? header.mtime,
      xattrs: [...extended.keys()]
        .filter((key) => key.startsWith('SCHILY.xattr.'))
        .map((key) => key.slice(13)),
    }
  }

  async #end(block: Buffer | null, extended: ReadonlyMap<string, string>): Promise<null> {
    if (extended.size > 0) throw invalid('ends after an extended header')
    // Like Go's reader: a missing end mark at a block boundary is tolerated, other bytes after it are not.
    if (block === null) return null
    for (;;) {
      const rest = await this.#bytes.someOrEnd(1 << 16)
      if (rest === null) return null
      if (!isZero(rest)) throw invalid('has bytes after its end')
    }
  }
}

// Private

interface Block {
  readonly typeflag: string
  readonly path: string
  readonly linkpath: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtime: number
}

function parseBlock(block: Buffer): Block {
  let sum = 8 * 0x20
  for (let at = 0; at < BLOCK; at += 1) if (at < 148 || at >= 156) sum += block[at] ?? 0
  if (numeric(block, 148, 8) !== sum) throw invalid('has a header with a wrong checksum')
  const magic = block.toString('latin1', 257, 263)
  // GNU's magic "ustar " means that the prefix field holds other things.
  const prefix = magic === 'ustar\0' ? field(block, 345, 155) : ''
  const name = field(block, 0, 100)
  const typeflag = block.toString('latin1', 156, 157)
  return {
    typeflag: typeflag === '\0' ? '0' : typeflag,
    path: prefix === '' ? name : `${prefix}/${name}`,
    linkpath: field(block, 157, 100),
    mode: numeric(block, 100, 8),
    uid: numeric(block, 108, 8),
    gid: numeric(block, 116, 8),
    size: numeric(block, 124, 12),
    mtime: numeric(block, 136, 12),
  }
}

function typeOf(typeflag: string, path: string): TarEntry['type'] {
  switch (typeflag) {
    case '0':
    case '7':
      return path.endsWith('/') ? 'directory' : 'file'
    case '1':
      return 'hardlink'
    case '2':
      return 'symlink'
    case '3':
    case '4':
    case '6':
      return 'special'
    case '5':
      return 'directory'
    default:
      throw invalid(`${path}: entries of type ${JSON.stringify(typeflag)} are not supported`)
  }
}

/** Octal text, or GNU's base-256 where the first bit is set. */
function numeric(block: Buffer, offset: number, length: number): number {
  const first = block[offset] ?? 0
  if (first < 0x80) {
    const digits = block
      .toString('latin1', offset, offset + length)
      .replace(/[\0 ]+$/, '')
      .trim()
    if (!/^[0-7]*$/.test(digits)) throw invalid('has a header with a number that is not octal')
    return digits === '' ? 0 : Number.parseInt(digits, 8)
  }
  let value = BigInt(first & 0x7f)
  for (let at = 1; at < length; at += 1) value = (value << 8n) | BigInt(block[offset + at] ?? 0)
  if (first === 0xff || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw invalid('has a header with a number out of range')
  }
  return Number(value)
}

function field(block: Buffer, offset: number, length: number): string {
  return text(block.subarray(offset, offset + length))
}

/** Up to the first zero byte. */
function text(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  return utf8(end < 0 ? bytes : bytes.subarray(0, end))
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new OciError('INVALID_IMAGE', 'tar archive: a name is not UTF-8', cause)
  }
}

function* paxRecords(body: Buffer): Generator<[string, string]> {
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at)
    const digits = space < 0 ? '' : body.toString('latin1', at, space)
    const end = /^[1-9]\d{0,8}$/.test(digits) ? at + Number(digits) : 0
    if (end <= space || end > body.length || body[end - 1] !== 0x0a) {
      throw invalid('has a malformed pax record')
    }
    const equals = body.indexOf(0x3d, space)
    if (equals < 0 || equals >= end) throw invalid('has a pax record without a value')
    const key = utf8(body.subarray(space + 1, equals))
    // Values of extended attributes are binary; only their presence matters.
    const isBinary = key.startsWith('SCHILY.xattr.') || key.startsWith('LIBARCHIVE.')
    yield [key, isBinary ? '' : utf8(body.subarray(equals + 1, end - 1))]
    at = end
  }
}

function number(extended: ReadonlyMap<string, string>, key: string): number | null {
  const value = extended.get(key)
  if (value === undefined) return null
  const parsed = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN
  if (!Number.isSafeInteger(parsed)) throw invalid(`has a pax ${key} that is not a number`)
  return parsed
}

/** Fractions are cut; times before 1970 become 1970. */
function time(value: string | undefined): number | null {
  if (value === undefined) return null
  const seconds = Number.parseFloat(value)
  if (!Number.isFinite(seconds)) throw invalid('has a pax mtime that is not a number')
  return Math.max(0, Math.floor(seconds))
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

function invalid(what: string): OciError {
  return new OciError('INVALID_IMAGE', `tar archive ${what}`)
}

/** Cuts a stream of chunks into the pieces that are asked for. */
class ByteQueue {
  readonly #source: AsyncIterator<Uint8Array>
  #chunk: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Between 1 and `limit` bytes, or null at the end. */
  async someOrEnd(limit: number): Promise<Buffer | null> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next()
      if (next.done === true) return null
      const { buffer, byteOffset, byteLength } = next.value
      this.#chunk = Buffer.from(buffer, byteOffset, byteLength)
    }
    const piece = this.#chunk.subarray(0, limit)
    this.#chunk = this.#chunk.subarray(piece.length)
    return piece
  }

  async some(limit: number): Promise<Buffer> {
    const piece = await this.someOrEnd(limit)
    if (piece === null) throw invalid('is cut off')
    return piece
  }

  /** Exactly `count` bytes; null where the source ended before the first. */
  async takeOrEnd(count: number): Promise<Buffer | null> {
    if (this.#chunk.length >= count) return await this.someOrEnd(count)
    const parts: Buffer[] = []
    for (let left = count; left > 0;) {
      const piece = await this.someOrEnd(left)
      if (piece === null && parts.length === 0) return null
      if (piece === null) throw invalid('is cut off')
      parts.push(piece)
      left -= piece.length
    }
    return Buffer.concat(parts)
  }

  async take(count: number): Promise<Buffer> {
    if (count === 0) return Buffer.alloc(0)
    const bytes = await this.takeOrEnd(count)
    if (bytes === null) throw invalid('is cut off')
    return bytes
  }
}
