/**
 * One Packages file of a verified suite as a read-only SQLite file, named by the SHA-256 of what it was made from. Opening it costs a millisecond; the text of
 * tens of megabytes is parsed once, when the archive has a new one.
 */
import { createReadStream } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { rename, rm } from 'node:fs/promises'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { DebianError } from './debian-error.ts'
import type { DebianArchitecture, DebianPackage } from './debian-package.ts'
import { parseDependencies } from './dependency.ts'
import { programOutput } from './program-output.ts'

/** A package as the index holds it; `filename` is relative to the archive. */
export type IndexedPackage = Omit<DebianPackage, 'url'> & { readonly filename: string }

export interface BuildOptions {
  /** The compressed file, its hash already verified. */
  readonly from: string
  readonly compression: 'gz' | 'xz' | 'zst' | 'none'
  readonly to: string
  readonly architecture: DebianArchitecture
  /** Bytes after decompression. */
  readonly maxSize: number
}

/** Parses a Packages file into an index; `to` exists only when all of it was read. @throws DebianError INDEX_INVALID */
export async function buildIndex(options: BuildOptions): Promise<void> {
  const temporary = `${options.to}.${randomBytes(6).toString('hex')}.tmp`
  await rm(temporary, { force: true })
  const database = new DatabaseSync(temporary)
  try {
    database.exec(`PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; ${schema}`)
    database.exec('BEGIN')
    const insert = new Inserter(database, options.architecture)
    for await (const stanza of stanzasOf(options)) insert.add(stanza)
    database.exec(
      'COMMIT; CREATE INDEX by_name ON package (name); CREATE INDEX by_virtual ON provided (name)',
    )
    database.close()
    await rename(temporary, options.to)
  } catch (error) {
    if (database.isOpen) database.close()
    await rm(temporary, { force: true })
    throw error
  }
}

/** Read access to one index. `close` ends it. */
export class PackageIndex {
  readonly #database: DatabaseSync
  readonly #named: StatementSync
  readonly #providing: StatementSync

  constructor(path: string) {
    this.#database = new DatabaseSync(path, { readOnly: true })
    this.#named = this.#database.prepare('SELECT * FROM package WHERE name = ?')
    this.#providing = this.#database.prepare(
      'SELECT package.* FROM provided JOIN package ON package.id = provided.package WHERE provided.name = ?',
    )
  }

  named(name: string): IndexedPackage[] {
    return this.#named.all(name).map(toPackage)
  }

  /** Packages whose Provides lists this name. */
  providing(name: string): IndexedPackage[] {
    return this.#providing.all(name).map(toPackage)
  }

  /** Names of packages marked Essential. */
  essential(): string[] {
    return this.#database
      .prepare('SELECT DISTINCT name FROM package WHERE essential = 1 ORDER BY name')
      .all()
      .map((row) => text(row, 'name'))
  }

  close(): void {
    this.#database.close()
  }
}

const schema = `
  CREATE TABLE package (id INTEGER PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, architecture TEXT NOT NULL, sourceName TEXT NOT NULL,
    sourceVersion TEXT NOT NULL, filename TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL, essential INTEGER NOT NULL, priority TEXT NOT NULL,
    preDepends TEXT NOT NULL, depends TEXT NOT NULL, provides TEXT NOT NULL, conflicts TEXT NOT NULL, breaks TEXT NOT NULL) STRICT;
  CREATE TABLE provided (name TEXT NOT NULL, package INTEGER NOT NULL) STRICT;`

class Inserter {
  readonly #package: StatementSync
  readonly #provided: StatementSync
  readonly #architecture: DebianArchitecture

  constructor(database: DatabaseSync, architecture: DebianArchitecture) {
    this.#package = database.prepare(
      `INSERT INTO package VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#provided = database.prepare('INSERT INTO provided VALUES (?, ?)')
    this.#architecture = architecture
  }

  /** Passes over what no resolver could use: other architectures, entries without a hash. */
  add(stanza: string): void {
    const field = readFields(stanza)
    const [name, version, architecture] = [
      field('Package'),
      field('Version'),
      field('Architecture'),
    ]
    const [filename, size, sha256] = [field('Filename'), field('Size'), field('SHA256')]
    if (architecture !== this.#architecture && architecture !== 'all') return
    if (!isName(name) || version === '' || !isFileName(filename)) return
    if (!/^\d{1,13}$/.test(size) || !/^[0-9a-f]{64}$/.test(sha256)) return
    const source = readSource(field('Source'), name, version)
    const { lastInsertRowid } = this.#package.run(
      ...[name, version, architecture, source.name, source.version, filename, Number(size), sha256],
      ...[field('Essential') === 'yes' ? 1 : 0, field('Priority'), field('Pre-Depends')],
      ...[field('Depends'), field('Provides'), field('Conflicts'), field('Breaks')],
    )
    for (const virtual of virtualNames(field('Provides'))) {
      this.#provided.run(virtual, lastInsertRowid)
    }
  }
}

const wanted = [
  'Package',
  'Version',
  'Architecture',
  'Source',
  'Filename',
  'Size',
  'SHA256',
  'Essential',
  'Priority',
  'Pre-Depends',
  'Depends',
  'Provides',
  'Conflicts',
  'Breaks',
] as const
type Field = (typeof wanted)[number]
const fieldNames: ReadonlyMap<string, Field> = new Map(wanted.map((name) => [name, name]))

/** Faster than the general parser, as it skips what nobody asks for; continuation lines are joined by a space, an absent field is ''. */
export function readFields(stanza: string): (field: Field) => string {
  const fields = new Map<Field, string>()
  let last: Field | undefined
  for (const line of stanza.split('\n')) {
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (last !== undefined) fields.set(last, `${fields.get(last) ?? ''} ${line.trim()}`)
      continue
    }
    const colon = line.indexOf(':')
    last = fieldNames.get(line.slice(0, colon))
    if (last !== undefined) fields.set(last, line.slice(colon + 1).trim())
  }
  return (field) => fields.get(field) ?? ''
}

/** `Source: gcc-12 (12.2.0-14)`: the version stands there only where it differs (Policy 5.6.1). */
export function readSource(
  field: string,
  name: string,
  version: string,
): { name: string; version: string } {
  const match = /^(\S+)(?:\s+\(([^)]+)\))?$/.exec(field)
  return { name: match?.[1] ?? name, version: match?.[2] ?? version }
}

function virtualNames(provides: string): readonly string[] {
  try {
    return [
      ...new Set(parseDependencies(provides).flatMap((group) => group.map((one) => one.name))),
    ]
  } catch {
    // One package with a malformed field is not found by it; the rest of the archive stays usable.
    return []
  }
}

function isName(name: string): boolean {
  return /^[a-z0-9][a-z0-9+.-]{0,255}$/i.test(name)
}

function isFileName(name: string): boolean {
  return name !== '' && !name.startsWith('/') && !/(^|\/)\.\.(\/|$)|[\s?#]/.test(name)
}

async function* stanzasOf(options: BuildOptions): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  let size = 0
  for await (const chunk of decompressed(options)) {
    size += chunk.length
    if (size > options.maxSize) {
      throw new DebianError(
        'INDEX_INVALID',
        `${options.from} unpacks to more than ${options.maxSize} bytes`,
      )
    }
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n\n')
    rest = parts.pop() ?? ''
    for (const part of parts) if (part !== '') yield part
  }
  if (rest.trim() !== '') yield rest
}

function decompressed(options: BuildOptions): AsyncIterable<Uint8Array> {
  const { from, compression } = options
  if (compression === 'xz') return programOutput('xz', ['--decompress', '--stdout', '--', from])
  const file = createReadStream(from, { highWaterMark: 1 << 18 })
  if (compression === 'none') return file
  const unpack = compression === 'gz' ? createGunzip(large) : createZstdDecompress(large)
  // An error of the file has to reach the reader of the unpacked stream.
  file.on('error', (error) => unpack.destroy(error))
  return file.pipe(unpack)
}

const large = { chunkSize: 1 << 18 }

type Row = Record<string, unknown>

function toPackage(row: Row): IndexedPackage {
  const architecture = text(row, 'architecture')
  if (architecture !== 'amd64' && architecture !== 'arm64' && architecture !== 'all') {
    throw new DebianError('INDEX_INVALID', `unexpected architecture ${architecture} in an index`)
  }
  return {
    name: text(row, 'name'),
    version: text(row, 'version'),
    architecture,
    source: { name: text(row, 'sourceName'), version: text(row, 'sourceVersion') },
    filename: text(row, 'filename'),
    size: Number(row.size),
    sha256: text(row, 'sha256'),
    essential: row.essential === 1,
    priority: text(row, 'priority'),
    preDepends: text(row, 'preDepends'),
    depends: text(row, 'depends'),
    provides: text(row, 'provides'),
    conflicts: text(row, 'conflicts'),
    breaks: text(row, 'breaks'),
  }
}

function text(row: Row, column: string): string {
  const value = row[column]
  if (typeof value === 'string') return value
  throw new DebianError('INDEX_INVALID', `column ${column} of an index holds no text`)
}
