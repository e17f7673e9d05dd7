import { existsSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { silentLog, type Log } from '../lib/log.ts'
import { KeyedMutex } from '../lib/mutex.ts'
import { aptAcceptsExpired, findAptHelper, hostArchitecture } from './apt-host.ts'
import type { AptSource } from './apt-source.ts'
import { hostSources } from './apt-sources.ts'
import {
  pruneIndexes,
  readState,
  statePath,
  writeState,
  type ArchiveState,
  type SuiteRecord,
} from './archive-state.ts'
import type { DebFile } from './deb-file.ts'
import { readMetadata, readTree, type PackageMetadata } from './deb-tree.ts'
import { DebianError } from './debian-error.ts'
import type { DebianArchitecture, DebianPackage } from './debian-package.ts'
import { PackageIndex, type IndexedPackage } from './package-index.ts'
import { resolveClosure, type Candidate } from './resolver.ts'
import { AptTransport, FetchTransport, verifyDownload, type Transport } from './transport.ts'

export interface DebianArchiveOptions {
  /** Folder of ours, made where it does not exist; may be shared by processes and deleted at any time nobody uses it. */
  readonly cacheDir: string
  /** Default: the host's apt configuration, of which sources that do not verify are passed over with a warning. */
  readonly sources?: readonly AptSource[]
  /** Where the host's apt configuration and keyrings are found; default `/`. */
  readonly hostRoot?: string
  /** Default: the one of this process. */
  readonly architecture?: DebianArchitecture
  /** Default: apt's own downloader where the host has it (its proxies and credentials apply), else the global fetch. */
  readonly fetch?: typeof fetch
  readonly now?: () => number
  readonly log?: Log
}

export interface ResolveOptions {
  /** Packages that count as present and are left out, with what only they need. */
  readonly exclude?: readonly string[]
  readonly recommends?: false
}

export interface SuiteStatus {
  readonly uri: string
  readonly suite: string
  /** Milliseconds since 1970. */
  readonly verifiedAt: number
  readonly date: number
  readonly validUntil: number | null
}

/** Debian packages from signed archives: verified indexes, dependency closures, unpacked files. Safe to use from several places at once. `close` when done. */
export class DebianArchive {
  readonly architecture: DebianArchitecture
  readonly #cacheDir: string
  readonly #hostRoot: string
  readonly #sources: readonly AptSource[]
  readonly #isHosts: boolean
  readonly #statePath: string
  readonly #transport: Transport
  readonly #now: () => number
  readonly #log: Log
  readonly #mutex = new KeyedMutex()
  readonly #indexes = new Map<string, PackageIndex>()
  #state: ArchiveState

  private constructor(fields: Fields) {
    this.architecture = fields.architecture
    this.#cacheDir = fields.cacheDir
    this.#hostRoot = fields.hostRoot
    this.#sources = fields.sources
    this.#isHosts = fields.isHosts
    this.#statePath = fields.statePath
    this.#transport = fields.transport
    this.#now = fields.now
    this.#log = fields.log
    this.#state = fields.state
  }

  /** Reads configuration and cache, never the network. @throws DebianError SOURCES_MISSING */
  static async open(options: DebianArchiveOptions): Promise<DebianArchive> {
    const { cacheDir, hostRoot = '/', now = Date.now, log = silentLog } = options
    const architecture = options.architecture ?? hostArchitecture()
    if (architecture === null) {
      throw new DebianError(
        'SOURCES_MISSING',
        `no Debian architecture for ${process.arch}; amd64 and arm64 are supported`,
      )
    }
    const given = options.sources ?? (await hostSources(join(hostRoot, 'etc/apt'), log))
    const sources = mergeSources(given, architecture)
    if (sources.length === 0) {
      throw new DebianError(
        'SOURCES_MISSING',
        'no Debian package source for this architecture: configure one in /etc/apt/sources.list.d (sources.list(5)), or name the archive in the platform configuration',
      )
    }
    await mkdir(join(cacheDir, 'packages'), { recursive: true })
    const path = statePath(cacheDir, sources, architecture)
    return new DebianArchive({
      architecture,
      cacheDir,
      hostRoot,
      sources,
      isHosts: options.sources === undefined,
      statePath: path,
      transport: chooseTransport(options),
      now,
      log,
      state: await readState(path),
    })
  }

  /**
   * Asks every source for its current indexes. Where one cannot be reached, what was verified of it before stays in use.
   * @throws DebianError where a given source does not verify, or where nothing usable is left
   */
  async refresh(signal?: AbortSignal): Promise<void> {
    await this.#mutex.run('refresh', () => this.#refresh(signal))
  }

  /** Refreshes only where a suite was last verified more than `maxAgeMs` ago, or never. */
  async ensureFresh(maxAgeMs: number, signal?: AbortSignal): Promise<void> {
    await this.#mutex.run('refresh', async () => {
      const oldest = Math.min(...this.#state.suites.map(({ verifiedAt }) => verifiedAt))
      if (this.#state.suites.length > 0 && this.#now() - oldest <= maxAgeMs) return
      await this.#refresh(signal)
    })
  }

  suites(): readonly SuiteStatus[] {
    return this.#state.suites
  }

  /**
   * The named packages (`python3`, `python3 (>= 3.11)`) with all they need, sorted by name; refreshes first where nothing is cached. Essential packages are not
   * implied: a minimal image decides itself what it takes.
   * @throws DebianError PACKAGE_UNAVAILABLE, PACKAGE_CONFLICT
   */
  async resolve(
    names: readonly string[],
    options: ResolveOptions = {},
  ): Promise<readonly DebianPackage[]> {
    if (this.#state.suites.length === 0) await this.ensureFresh(Infinity)
    return resolveClosure(
      {
        named: (name) => this.#find('named', name),
        providing: (name) => this.#find('providing', name),
      },
      { names, exclude: options.exclude ?? [], architecture: this.architecture },
    )
  }

  /** Path of the .deb, its hash verified when it was downloaded. @throws DebianError ARCHIVE_UNREACHABLE, SIGNATURE_INVALID */
  async fetchPackage(pkg: DebianPackage, signal?: AbortSignal): Promise<string> {
    await this.fetchPackages([pkg], signal)
    return this.#debPath(pkg)
  }

  /** Downloads what is not there yet, several at once. */
  async fetchPackages(packages: readonly DebianPackage[], signal?: AbortSignal): Promise<void> {
    await this.#mutex.run('fetch', () => this.#download(packages, signal))
  }

  /** The package's file tree, in the order of the .deb; unpacked at the first call and immutable from then on. @throws DebianError DEB_INVALID */
  async files(pkg: DebianPackage): Promise<readonly DebFile[]> {
    return this.#mutex.run(pkg.sha256, async () => {
      const tree = join(this.#cacheDir, 'trees', pkg.sha256)
      return readTree({ tree, packageName: pkg.name, deb: () => this.fetchPackage(pkg) })
    })
  }

  /** What scanners read below /var/lib/dpkg/status.d. */
  async metadata(pkg: DebianPackage): Promise<PackageMetadata> {
    return this.#mutex.run(pkg.sha256, async () => {
      const tree = join(this.#cacheDir, 'trees', pkg.sha256)
      return readMetadata({ tree, packageName: pkg.name, deb: () => this.fetchPackage(pkg) })
    })
  }

  close(): void {
    for (const index of this.#indexes.values()) index.close()
    this.#indexes.clear()
  }

  async #refresh(signal?: AbortSignal): Promise<void> {
    // Only a refresh needs OpenPGP: a warm start does without loading it.
    const { refreshSuite, describe } = await import('./suite-refresh.ts')
    const { defaultKeyrings } = await import('./keyring.ts')
    const trusted = await defaultKeyrings(this.#hostRoot)
    const failures: DebianError[] = []
    const suites: SuiteRecord[] = []
    for (const source of this.#sources) {
      const known = this.#known(source)
      try {
        suites.push(
          await refreshSuite({
            source,
            known,
            cacheDir: this.#cacheDir,
            architecture: this.architecture,
            transport: this.#transport,
            trusted,
            mayBeExpired: this.#isHosts ? aptAcceptsExpired : () => Promise.resolve(false),
            now: this.#now,
            log: this.#log,
            ...(signal === undefined ? {} : { signal }),
          }),
        )
      } catch (error) {
        if (!(error instanceof DebianError) || !this.#mayGoOn(error, known)) throw error
        failures.push(error)
        if (known !== null) suites.push(known)
        const fields = { suite: describe(source), error: error.message, cached: known !== null }
        this.#log.warn(fields, 'package source not refreshed')
      }
    }
    if (suites.length === 0) throw failures[0] ?? new DebianError('SOURCES_MISSING', 'no source')
    this.#state = { suites }
    await writeState(this.#statePath, this.#state)
    await pruneIndexes(this.#cacheDir, this.#now())
  }

  #known({ uri, suite }: AptSource): SuiteRecord | null {
    return this.#state.suites.find((one) => one.uri === uri && one.suite === suite) ?? null
  }

  /** A source that was given must verify; the host's may include ones that are not for us. */
  #mayGoOn(error: DebianError, known: SuiteRecord | null): boolean {
    return this.#isHosts || (error.code === 'ARCHIVE_UNREACHABLE' && known !== null)
  }

  #find(how: 'named' | 'providing', name: string): Candidate[] {
    return this.#state.suites.flatMap((suite, order) =>
      suite.indexes.flatMap((file) =>
        this.#index(file)
          [how](name)
          .map((found) => ({ pkg: withUrl(found, suite), priority: suite.priority, order })),
      ),
    )
  }

  #index(file: string): PackageIndex {
    const opened = this.#indexes.get(file)
    if (opened !== undefined) return opened
    const index = new PackageIndex(join(this.#cacheDir, 'indexes', file))
    this.#indexes.set(file, index)
    return index
  }

  #debPath(pkg: DebianPackage): string {
    return join(this.#cacheDir, 'packages', `${pkg.sha256}.deb`)
  }

  async #download(packages: readonly DebianPackage[], signal?: AbortSignal): Promise<void> {
    const missing = packages.filter((pkg) => !existsSync(this.#debPath(pkg)))
    const unique = [...new Map(missing.map((pkg) => [pkg.sha256, pkg])).values()]
    const suffix = `.${randomBytes(6).toString('hex')}.tmp`
    const downloads = unique.map((pkg) => ({
      url: pkg.url,
      path: this.#debPath(pkg) + suffix,
      maxSize: pkg.size,
    }))
    const reasons = await this.#transport.download(downloads, signal)
    for (const [at, pkg] of unique.entries()) {
      const [download, reason] = [downloads[at], reasons[at]]
      if (download === undefined || typeof reason === 'string') {
        const why = reason ?? 'not downloaded'
        throw new DebianError(
          'ARCHIVE_UNREACHABLE',
          `${pkg.name} ${pkg.version}: ${pkg.url}: ${why}`,
        )
      }
      await verifyDownload(download, pkg)
      await rename(download.path, this.#debPath(pkg))
    }
  }
}

interface Fields {
  readonly architecture: DebianArchitecture
  readonly cacheDir: string
  readonly hostRoot: string
  readonly sources: readonly AptSource[]
  readonly isHosts: boolean
  readonly statePath: string
  readonly transport: Transport
  readonly now: () => number
  readonly log: Log
  readonly state: ArchiveState
}

function chooseTransport(options: DebianArchiveOptions): Transport {
  if (options.fetch !== undefined) return new FetchTransport(options.fetch)
  const helper = findAptHelper()
  return helper === null ? new FetchTransport(fetch) : new AptTransport(helper)
}

/** Sources for this architecture; the same suite named twice becomes one with the components of both. */
function mergeSources(
  sources: readonly AptSource[],
  architecture: DebianArchitecture,
): readonly AptSource[] {
  const merged = new Map<string, AptSource>()
  for (const source of sources) {
    if (source.architectures?.includes(architecture) === false) continue
    const fill = (text: string): string => text.replaceAll('$(ARCH)', architecture)
    const own = { ...source, uri: fill(source.uri).replace(/\/+$/, ''), suite: fill(source.suite) }
    const key = JSON.stringify([own.uri, own.suite, own.signedBy])
    const components = [...(merged.get(key)?.components ?? []), ...own.components]
    merged.set(key, { ...own, components: [...new Set(components)] })
  }
  return [...merged.values()]
}

function withUrl({ filename, ...rest }: IndexedPackage, { uri }: SuiteRecord): DebianPackage {
  const path = filename
    .replace(/^(\.\/)+/, '')
    .split('/')
    .map(encodeURIComponent)
    .join('/')
  // apt's web addresses keep these characters as they are, and so do the caches between.
  const plain = path.replace(/%(3A|2B|7E|3D|2C|40)/gi, (code) => decodeURIComponent(code))
  return { ...rest, url: `${uri}/${plain}` }
}
