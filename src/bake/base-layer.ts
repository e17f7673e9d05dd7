import { createHash } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { baseFiles, caBundle, osRelease } from '../debian/bases.ts'
import { elfClosure, type ElfRoot } from '../debian/closure.ts'
import type { DebFile } from '../debian/deb-file.ts'
import type { DebianArchive } from '../debian/debian-archive.ts'
import { DebianError } from '../debian/debian-error.ts'
import type { DebianPackage } from '../debian/debian-package.ts'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import type { LayerEntry } from '../oci/layer-entry.ts'
import { BaseRecord } from './base-record.ts'
import type { LayerJob, PlacedLayer } from './bake-job.ts'
import { debEntries, MERGED_USR_LINKS } from './deb-entries.ts'
import { keyedLayer } from './keyed-layer.ts'
import { layerKey } from './layer-key.ts'

/** What a base is made of: a few files that every image has, whole packages, and the libraries that some programs load. */
export interface BaseRecipe {
  /** Names the base in messages and records: 'node', 'static'. Recipes with other content have other names. */
  readonly name: string
  /** Packages that are taken whole; of what they depend on only the libraries that their programs load. */
  readonly whole: readonly string[]
  /** Packages (with what they depend on) whose libraries may be taken. */
  readonly libraries: readonly string[]
  /** Programs whose libraries are taken; asked only where the base has to be made. */
  readonly roots: () => Promise<readonly ElfRoot[]>
  /** Stands for the roots in the layer's key where their bytes do not matter; default: their digests. */
  readonly rootsKey?: string
  /** Dependencies of `whole` that are not needed. */
  readonly exclude?: readonly string[]
  /** Libraries that may be missing. */
  readonly optional?: readonly string[]
  /** Further entries, such as links. */
  readonly extra?: readonly LayerEntry[]
}

/** Security updates reach new images within this time; until then a bake does not ask any package index. */
const BASE_MAX_AGE_MS = 24 * 3_600_000

/**
 * The base layer of a recipe: from the record of what was last made of it while that is young enough, else made of the
 * archive's current packages. An archive that cannot be reached is no reason to fail while an older base is there.
 * @throws DebianError
 */
export async function baseLayer(job: LayerJob, recipe: BaseRecipe): Promise<PlacedLayer> {
  const { kitchen } = job
  const file = join(kitchen.cacheDir, 'bases', `${recipe.name}-${kitchen.architecture}.json`)
  return kitchen.locks.run(`base ${recipe.name}`, async () => {
    const record = BaseRecord.parse(await readIfExists(file))
    const known = record === null ? null : await kitchen.images.findLayer(record.key)
    if (record !== null && known !== null && kitchen.now() - record.at < BASE_MAX_AGE_MS) {
      job.step(`base: ${record.label} (cached)`)
      return { layer: known, created: false }
    }
    try {
      return await renew(job, recipe, file)
    } catch (error) {
      const unreachable = error instanceof DebianError && UNREACHABLE.has(error.code)
      if (!unreachable || record === null || known === null) throw error
      job.step(
        `base: ${record.label} of ${new Date(record.at).toISOString().slice(0, 10)}; ${error.message}`,
      )
      return { layer: known, created: false }
    }
  })
}

/** Also where no source is configured: a server in a cluster brings its own base. */
const UNREACHABLE: ReadonlySet<string> = new Set(['ARCHIVE_UNREACHABLE', 'SOURCES_MISSING'])

/** Files that every image gets, besides those that Debian's `base-files` names. */
const COMMON = ['base-files', 'ca-certificates', 'netbase', 'tzdata'] as const

async function renew(job: LayerJob, recipe: BaseRecipe, file: string): Promise<PlacedLayer> {
  const archive = await job.kitchen.debian()
  await archive.ensureFresh(BASE_MAX_AGE_MS, job.signal)
  const chosen = await choosePackages(archive, recipe)
  const roots = await recipe.roots()
  const key = layerKey(`base-${recipe.name}`, {
    packages: [...chosen.common, ...chosen.whole, ...chosen.libraries].map(identity),
    roots: recipe.rootsKey ?? (await Promise.all(roots.map(rootIdentity))),
    extra: recipe.extra ?? [],
    architecture: job.kitchen.architecture,
  })
  let label = `Debian, ${String(recipe.whole.length + recipe.libraries.length)} packages`
  const placed = await keyedLayer(job, key, 'small', async (add) => {
    const made = await makeBase({ job, archive, recipe, chosen, roots })
    label = made.label
    return add(made.entries)
  })
  if (!placed.created) label = BaseRecord.parse(await readIfExists(file))?.label ?? label
  await mkdir(dirname(file), { recursive: true })
  await writeAtomically(file, new BaseRecord(key, job.kitchen.now(), label).toText())
  job.step(`base: ${label}${placed.created ? '' : ' (cached)'}`)
  return placed
}

interface ChosenPackages {
  readonly common: readonly DebianPackage[]
  readonly whole: readonly DebianPackage[]
  readonly libraries: readonly DebianPackage[]
}

async function choosePackages(archive: DebianArchive, recipe: BaseRecipe): Promise<ChosenPackages> {
  const common = await archive.resolve(COMMON, {
    exclude: ['debconf', 'openssl', 'libc6', 'awk', 'mawk'],
  })
  const names: ReadonlySet<string> = new Set(COMMON)
  const wanted = [...recipe.whole, ...recipe.libraries]
  const found =
    wanted.length === 0 ? [] : await archive.resolve(wanted, { exclude: recipe.exclude ?? [] })
  return {
    common: common.filter((pkg) => names.has(pkg.name)),
    whole: found.filter((pkg) => recipe.whole.includes(pkg.name)),
    libraries: found.filter(
      (pkg) => !recipe.whole.includes(pkg.name) && pkg.architecture !== 'all',
    ),
  }
}

interface BaseParts {
  readonly job: LayerJob
  readonly archive: DebianArchive
  readonly recipe: BaseRecipe
  readonly chosen: ChosenPackages
  readonly roots: readonly ElfRoot[]
}

async function makeBase(
  parts: BaseParts,
): Promise<{ readonly entries: LayerEntry[]; readonly label: string }> {
  const { job, archive, recipe, chosen, roots } = parts
  const packages = unique([...chosen.common, ...chosen.whole, ...chosen.libraries])
  await archive.fetchPackages(packages, job.signal)
  const common = await filesOf(archive, chosen.common)
  const whole = (await filesOf(archive, chosen.whole)).filter(({ path }) => isNeeded(path))
  const libraries = await filesOf(archive, chosen.libraries)
  const linked = await elfClosure({
    roots: [...roots, ...whole.flatMap(programFile)],
    provide: [...whole, ...libraries],
    optional: recipe.optional ?? [],
  })
  const release = osRelease(common)
  const files = [
    ...common.filter(
      ({ path, type }) => type !== 'folder' && COMMON_PATHS.test(path) && isNeeded(path),
    ),
    ...whole,
    ...libraries.filter(isLibcPart),
    ...linked,
    ...baseFiles(),
    ...release,
    await caBundle(common),
  ]
  const used = new Set(files.map((file) => file.package))
  for (const pkg of chosen.common) used.add(pkg.name)
  const named = packages.filter((pkg) => used.has(pkg.name))
  const entries = [
    ...MERGED_USR_LINKS,
    ...CERTIFICATE_LINKS,
    ...debEntries([...files, ...copyrights([...common, ...libraries], used)]),
    ...(await metadataEntries(archive, named)),
    ...(recipe.extra ?? []),
  ]
  return {
    entries: lastOfEachPath(entries),
    label: `${await releaseName(release)}, ${String(named.length)} packages`,
  }
}

function programFile(file: DebFile): readonly ElfRoot[] {
  if (file.type !== 'file' || !('file' in file.content)) return []
  return [{ path: file.path, file: file.content.file }]
}

async function filesOf(
  archive: DebianArchive,
  packages: readonly DebianPackage[],
): Promise<DebFile[]> {
  const files: DebFile[] = []
  for (const pkg of packages) files.push(...(await archive.files(pkg)))
  return files
}

/**
 * The parts of glibc that programs load later: extensions of Node, Python and Java that were built for older systems name
 * libpthread and its like, which are empty today but have to be there.
 */
function isLibcPart({ package: owner, path, type }: DebFile): boolean {
  const part = /\/lib(?:anl|dl|m|nss_dns|nss_files|pthread|resolv|rt|util)\.so\.\d+$/
  return owner === 'libc6' && type !== 'folder' && part.test(path)
}

/** Where OpenSSL looks for certificates; in Debian these links come with the `openssl` program, which no image needs. */
const CERTIFICATE_LINKS: readonly LayerEntry[] = [
  { type: 'symlink', path: 'usr/lib/ssl/certs', target: '/etc/ssl/certs' },
  { type: 'symlink', path: 'usr/lib/ssl/cert.pem', target: '/etc/ssl/certs/ca-certificates.crt' },
]

/** Zone files and the names of services and protocols; certificates come as one bundle. */
const COMMON_PATHS =
  /^\/(?:usr\/share\/zoneinfo\/(?!posix\/|right\/)|etc\/(?:services|protocols|debian_version$))/

/** Documentation is no part of a running system; copyright files stay. */
function isNeeded(path: string): boolean {
  if (/^\/usr\/share\/doc\/[^/]+\/copyright$/.test(path)) return true
  return !/^\/usr\/share\/(?:doc|man|info|locale|lintian|bug|doc-base|bash-completion|menu|pixmaps|applications|icons|python3\/(?:bcep|runtime\.d))(?:\/|$)/.test(
    path,
  )
}

function copyrights(files: readonly DebFile[], used: ReadonlySet<string>): DebFile[] {
  return files.filter(
    ({ path, package: owner }) =>
      used.has(owner) && /^\/usr\/share\/doc\/[^/]+\/copyright$/.test(path),
  )
}

/** What scanners read to know the packages of an image without a dpkg database (distroless' layout). */
export async function metadataEntries(
  archive: DebianArchive,
  packages: readonly DebianPackage[],
): Promise<LayerEntry[]> {
  const entries: LayerEntry[] = []
  for (const pkg of packages) {
    const { status, md5sums } = await archive.metadata(pkg)
    const path = `var/lib/dpkg/status.d/${pkg.name}`
    entries.push({ type: 'file', path, mode: 0o644, content: { bytes: Buffer.from(status) } })
    if (md5sums === '') continue
    const content = { bytes: Buffer.from(md5sums) }
    entries.push({ type: 'file', path: `${path}.md5sums`, mode: 0o644, content })
  }
  return entries
}

function lastOfEachPath(entries: readonly LayerEntry[]): LayerEntry[] {
  return [...new Map(entries.map((entry) => [entry.path, entry])).values()]
}

/** 'Debian 12' from os-release. */
async function releaseName(files: readonly DebFile[]): Promise<string> {
  for (const file of files) {
    if (file.type !== 'file') continue
    const { content } = file
    const text =
      'bytes' in content
        ? Buffer.from(content.bytes).toString()
        : await readFile(content.file, 'utf8')
    const name = /^NAME="?([A-Za-z]+)/m.exec(text)?.[1] ?? 'Debian'
    const version = /^VERSION_ID="?([0-9.]+)/m.exec(text)?.[1]
    return version === undefined ? name : `${name} ${version}`
  }
  return 'Debian'
}

function unique(packages: readonly DebianPackage[]): DebianPackage[] {
  return [...new Map(packages.map((pkg) => [pkg.sha256, pkg])).values()]
}

function identity(pkg: DebianPackage): string {
  return `${pkg.name}=${pkg.version}:${pkg.architecture}:${pkg.sha256}`
}

async function rootIdentity(root: ElfRoot): Promise<string> {
  return `${root.path}:${createHash('sha256')
    .update(await readFile(root.file))
    .digest('hex')}`
}
