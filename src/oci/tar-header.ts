/** POSIX.1-1988 ustar and POSIX.1-2001 pax headers, written. Only the bytes: what goes into a layer is decided elsewhere. */

export const BLOCK = 512
/** Up to where a block without a prefix has bytes: the magic's end. */
const USED = 265
const OCTAL_SIZE_LIMIT = 8 ** 11

export interface TarHeader {
  /** '0' file, '1' hard link, '2' symlink, '5' folder. */
  readonly typeflag: '0' | '1' | '2' | '5'
  /** Relative, no trailing slash; one is added for folders. */
  readonly path: string
  /** Target of a link; '' otherwise. */
  readonly linkpath: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  /** Whole seconds. */
  readonly mtime: number
}

/** One ustar block, preceded by pax blocks only where ustar cannot say it: long or non-ASCII names, 8 GiB and more, large ids. */
export function encodeHeader(header: TarHeader): Buffer {
  const path = header.typeflag === '5' ? `${header.path}/` : header.path
  const records: [string, string][] = []
  const name = splitName(path)
  if (name === null) records.push(['path', path])
  if (!isAscii(header.linkpath) || header.linkpath.length > 100) {
    records.push(['linkpath', header.linkpath])
  }
  if (header.size >= OCTAL_SIZE_LIMIT) records.push(['size', String(header.size)])
  for (const key of ['uid', 'gid'] as const) {
    if (header[key] >= 8 ** 7) records.push([key, String(header[key])])
  }
  if (header.mtime < 0 || header.mtime >= OCTAL_SIZE_LIMIT) {
    records.push(['mtime', String(header.mtime)])
  }
  const block = ustarBlock(header, name ?? { name: fallbackName(path), prefix: '' })
  return records.length === 0 ? block : Buffer.concat([paxBlocks(records, path), block])
}

/** Zero bytes that fill the last block of a file of `size` bytes. */
export function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK
}

/** A pax record counts its own length digits: "%d %s=%s\n". */
export function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest + String(rest).length
  if (rest + String(length).length !== length) length = rest + String(length).length
  return `${length} ${key}=${value}\n`
}

// Private

function paxBlocks(records: readonly (readonly [string, string])[], path: string): Buffer {
  const body = Buffer.from(records.map(([key, value]) => paxRecord(key, value)).join(''))
  const block = ustarBlock(
    {
      typeflag: 'x',
      linkpath: '',
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: body.length,
      mtime: 0,
    },
    { name: `PaxHeaders.0/${fallbackName(path)}`.slice(0, 100), prefix: '' },
  )
  return Buffer.concat([block, body, Buffer.alloc(paddingOf(body.length))])
}

type BlockFields = Omit<TarHeader, 'path' | 'typeflag'> & { readonly typeflag: string }

function ustarBlock(
  header: BlockFields,
  { name, prefix }: { readonly name: string; readonly prefix: string },
): Buffer {
  const linkpath = isAscii(header.linkpath) ? header.linkpath.slice(0, 100) : ''
  const fields =
    `${name.padEnd(100, '\0')}${octal(7, header.mode & 0o7777)}${octal(7, header.uid)}` +
    `${octal(7, header.gid)}${octal(11, header.size)}${octal(11, header.mtime)}`
  const rest = `${header.typeflag}${linkpath.padEnd(100, '\0')}ustar\u000000`
  const block = Buffer.alloc(BLOCK)
  // Few long writes: each of them costs more than making the text.
  block.write(`${fields}        ${rest}`, 0, 265, 'latin1')
  if (prefix !== '') block.write(prefix, 345, 155, 'latin1')
  let sum = 0
  // Everything after these is zero.
  for (let at = 0; at < USED; at += 1) sum += block[at] ?? 0
  if (prefix !== '') for (let at = 345; at < 500; at += 1) sum += block[at] ?? 0
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1')
  return block
}

/** A value that does not fit stands in a pax record; the field is then 0. */
function octal(digits: number, value: number): string {
  const fits = Number.isInteger(value) && value >= 0 && value < 8 ** digits
  return `${(fits ? value : 0).toString(8).padStart(digits, '0')}\0`
}

/** Null where ustar's 100 + 155 bytes cannot hold the name. */
function splitName(path: string): { name: string; prefix: string } | null {
  if (!isAscii(path)) return null
  if (path.length <= 100) return { name: path, prefix: '' }
  // The name keeps at least one byte and the prefix ends before a slash that is not the last byte.
  const slash = path.indexOf('/', path.length - 101)
  if (slash <= 0 || slash > 155 || slash === path.length - 1) return null
  return { name: path.slice(slash + 1), prefix: path.slice(0, slash) }
}

function fallbackName(path: string): string {
  return path.replace(/[^\x20-\x7e]/g, '_').slice(0, 100)
}

function isAscii(text: string): boolean {
  return /^[\x01-\x7f]*$/.test(text)
}
