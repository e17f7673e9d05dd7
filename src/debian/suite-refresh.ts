/** Brings one suite of one archive up to date: signed release file, then the indexes it vouches for. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../lib/log.ts'
import type { SuiteRecord } from './archive-state.ts'
import type { AptSource, SigningKeys } from './apt-source.ts'
import type { DebianArchitecture } from './debian-package.ts'
import { DebianError } from './debian-error.ts'
import { loadKeys } from './keyring.ts'
import { buildIndex, type BuildOptions } from './package-index.ts'
import {
  parseRelease,
  verifyDetached,
  verifyInRelease,
  type IndexFile,
  type ReleaseFile,
} from './release-file.ts'
import { verifyDownload, type Transport } from './transport.ts'

export interface RefreshOptions {
  readonly source: AptSource
  /** What is known of the suite from before. */
  readonly known: SuiteRecord | null
  readonly cacheDir: string
  readonly architecture: DebianArchitecture
  readonly transport: Transport
  /** Used where the source names no keys. */
  readonly trusted: readonly SigningKeys[]
  /** Asked only where a file is past its Valid-Until. */
  readonly mayBeExpired: () => Promise<boolean>
  readonly now: () => number
  readonly log: Log
  readonly signal?: AbortSignal
}

const MAX_RELEASE = 16 << 20
const MAX_INDEX = 2 ** 30

/**
 * @returns the suite as verified now; `known` with a new `verifiedAt` where nothing changed
 * @throws DebianError ARCHIVE_UNREACHABLE, SIGNATURE_INVALID, INDEX_INVALID
 */
export async function refreshSuite(options: RefreshOptions): Promise<SuiteRecord> {
  const { source, known, now, log } = options
  const work = join(options.cacheDir, 'tmp', randomBytes(8).toString('hex'))
  await mkdir(work, { recursive: true })
  try {
    const text = await fetchRelease(options, work)
    const release = parseRelease(text, describe(source))
    await requireTimely(release, options)
    requireSuite(release, source)
    const digest = createHash('sha256').update(text).digest('hex')
    if (known !== null && release.date < known.date) {
      log.warn({ suite: describe(source) }, 'archive serves an older release file; keeping ours')
      return known
    }
    const indexes =
      known?.release === digest && haveAll(options, known.indexes)
        ? known.indexes
        : await fetchIndexes(release, options, work)
    return {
      uri: source.uri,
      suite: source.suite,
      priority: release.priority,
      verifiedAt: now(),
      date: release.date,
      validUntil: release.validUntil,
      release: digest,
      indexes,
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** `uri suite`, without credentials that may stand in the address. */
export function describe(source: AptSource): string {
  return `${source.uri.replace(/\/\/[^/@]*@/, '//')} ${source.suite}`
}

function suiteUrl(source: AptSource): string {
  const base = source.suite.endsWith('/')
    ? `${source.uri}/${source.suite}`.replace(/\/+$/, '')
    : `${source.uri}/dists/${source.suite}`
  return base.replace(/(?<!:)\/{2,}/g, '/')
}

async function fetchRelease(options: RefreshOptions, work: string): Promise<string> {
  const { source, transport, signal, trusted, now } = options
  const keys = await loadKeys(source.signedBy ?? trusted)
  if (keys.length === 0) {
    throw new DebianError('SIGNATURE_INVALID', `${describe(source)}: no key to verify it with`)
  }
  const base = suiteUrl(source)
  const item = (name: string) => ({
    url: `${base}/${name}`,
    path: join(work, name),
    maxSize: MAX_RELEASE,
  })
  const verification = { keys, now: now(), what: `InRelease of ${describe(source)}` }
  const [missing] = await transport.download([item('InRelease')], signal)
  if (missing === null) {
    return verifyInRelease(await readFile(join(work, 'InRelease'), 'utf8'), verification)
  }
  const others = await transport.download([item('Release'), item('Release.gpg')], signal)
  if (others.some((reason) => reason !== null)) {
    throw new DebianError('ARCHIVE_UNREACHABLE', `${describe(source)}: ${missing ?? ''}`)
  }
  const text = await readFile(join(work, 'Release'), 'utf8')
  const signature = await readFile(join(work, 'Release.gpg'), 'latin1')
  const what = `Release of ${describe(source)}`
  return verifyDetached(text, signature, { ...verification, what })
}

async function requireTimely(release: ReleaseFile, options: RefreshOptions): Promise<void> {
  const { source, now, log, mayBeExpired } = options
  const { validUntil } = release
  if (validUntil === null || validUntil >= now()) return
  const until = new Date(validUntil).toISOString()
  if (source.checkValidUntil !== false && !(await mayBeExpired())) {
    throw new DebianError(
      'SIGNATURE_INVALID',
      `the release file of ${describe(source)} was valid until ${until}: the archive is stale, or someone keeps updates back`,
    )
  }
  log.warn({ suite: describe(source), until }, 'release file expired; apt is told not to mind')
}

/** The same keys sign several suites: a validly signed file of another one must not pass for the one that was asked for. */
function requireSuite(release: ReleaseFile, source: AptSource): void {
  if (source.suite.endsWith('/')) return
  const names = [release.suite, release.codename].filter((name) => name !== '')
  if (names.length === 0 || names.includes(source.suite)) return
  throw new DebianError(
    'SIGNATURE_INVALID',
    `${describe(source)}: the signed file is of suite ${names.join(' or ')}`,
  )
}

function haveAll({ cacheDir }: RefreshOptions, indexes: readonly string[]): boolean {
  return indexes.every((name) => existsSync(join(cacheDir, 'indexes', name)))
}

interface Wanted extends IndexFile {
  readonly path: string
  readonly compression: BuildOptions['compression']
  readonly unpackedSize: number
  readonly index: string
}

async function fetchIndexes(
  release: ReleaseFile,
  options: RefreshOptions,
  work: string,
): Promise<readonly string[]> {
  const { source, transport, signal, cacheDir, architecture, log } = options
  const folder = join(cacheDir, 'indexes')
  await mkdir(folder, { recursive: true })
  const wanted = wantedIndexes(release, options)
  const missing = wanted.filter(({ index }) => !existsSync(join(folder, index)))
  const downloads = missing.map((one) => ({
    url: `${suiteUrl(source)}/${release.byHash ? byHash(one) : one.path}`,
    path: join(work, one.sha256),
    maxSize: one.size,
  }))
  const reasons = await transport.download(downloads, signal)
  for (const [at, one] of missing.entries()) {
    const download = downloads[at]
    if (download === undefined) continue
    const reason = reasons[at]
    if (typeof reason === 'string') {
      throw new DebianError('ARCHIVE_UNREACHABLE', `${download.url}: ${reason}`)
    }
    await verifyDownload(download, one)
    const to = join(folder, one.index)
    const { compression, unpackedSize } = one
    await buildIndex({ from: download.path, compression, to, architecture, maxSize: unpackedSize })
    log.debug({ suite: describe(source), index: one.path }, 'package index read')
    signal?.throwIfAborted()
  }
  return wanted.map(({ index }) => index)
}

/** gz first: it needs no program, and reading it is faster than the download it saves to take xz. */
const variants = [
  ['.gz', 'gz'],
  ['.zst', 'zst'],
  ['.xz', 'xz'],
  ['', 'none'],
] as const

function wantedIndexes(release: ReleaseFile, options: RefreshOptions): Wanted[] {
  const { source, architecture } = options
  const folders = source.suite.endsWith('/')
    ? ['']
    : source.components.flatMap((component) =>
        [architecture, ...(release.separateAll ? ['all'] : [])].map(
          (name) => `${component}/binary-${name}/`,
        ),
      )
  return folders.flatMap((folder) => {
    for (const [suffix, compression] of variants) {
      const path = `${folder}Packages${suffix}`
      const file = release.files.get(path)
      if (file === undefined || file.size > MAX_INDEX) continue
      const unpackedSize = release.files.get(`${folder}Packages`)?.size ?? MAX_INDEX
      const index = `${file.sha256}-${architecture}-${INDEX_FORMAT}.sqlite`
      return [{ ...file, path, compression, unpackedSize, index }]
    }
    options.log.debug({ suite: describe(source), folder }, 'suite has no such index')
    return []
  })
}

/** Part of the file name: another layout of the tables is another file. */
const INDEX_FORMAT = 1

function byHash({ path, sha256 }: Wanted): string {
  return `${path.slice(0, path.lastIndexOf('/') + 1)}by-hash/SHA256/${sha256}`
}
