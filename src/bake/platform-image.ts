import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { createGunzip } from 'node:zlib'
import { baseLayer, metadataEntries } from './base-layer.ts'
import type { Kitchen, LayerJob, PlacedLayer } from './bake-job.ts'
import { inPlatformWords } from './baker.ts'
import { debEntries } from './deb-entries.ts'
import { addLayer, keyedLayer } from './keyed-layer.ts'
import { layerKey } from './layer-key.ts'
import { folderTree } from './folder-tree.ts'
import { nodeRuntime } from './node-runtime.ts'
import { DEFAULT_NODE_MAJOR } from './node-version.ts'
import { NPM_PACKAGE_ROOT, npmPackage } from './npm-package.ts'
import { npmFor } from './package-manager.ts'
import type { Digest } from '../oci/digest.ts'
import type { ImageConfigInput } from '../oci/image-config.ts'
import type { ImageStore } from '../oci/image-store.ts'
import type { LayerEntry } from '../oci/layer-entry.ts'
import { TarReader } from '../oci/tar-reader.ts'

/** The files of a program of ours, placed below `app`; the same files make the same image. */
export interface PlatformFiles {
  /** What changes with every version. */
  readonly source: readonly LayerEntry[]
  /** What changes seldom: dependencies. */
  readonly modules: readonly LayerEntry[]
}

/** Where the image tells what its base is made of, so that a server in it can bake for others from it without a package source. */
export const BASE_LIST = 'app/base.json'

/** One entry of that list; contents are in the image itself. */
export type BaseEntry =
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly type: 'file' | 'directory'
      readonly path: string
      readonly mode: number
      readonly uid: number
      readonly gid: number
      /** Base64; only of files that container runtimes put others over. */
      readonly content?: string
    }

/** Nobody in particular, as in images of apps. */
const USER = '65532:65532'

/**
 * The image of the control plane itself: Debian's libraries, Node, dependencies, source. Nothing in it tells when or where it was made.
 * @throws FairwayError PACKAGE_UNAVAILABLE, SIGNATURE_INVALID
 */
export async function bakePlatform(
  kitchen: Kitchen,
  files: PlatformFiles,
  { step, signal }: Pick<LayerJob, 'step' | 'signal'>,
): Promise<Digest> {
  const job: LayerJob = { kitchen, step, signal, output: () => undefined }
  try {
    const { version, layers } = await nodeRuntime(job, DEFAULT_NODE_MAJOR)
    const modules = await addLayer(job, files.modules, { level: 'small' })
    const [base] = layers
    if (base === undefined) throw new TypeError('a runtime without base')
    const list = await baseList(kitchen.images, base)
    const unpacker = await unpackerLayer(job)
    const npm = await addLayer(job, await npmEntries(job), { level: 'small' })
    const source = await addLayer(job, [...files.source, list], { level: 'small' })
    return await kitchen.images.addImage({
      layers: [...layers, unpacker, npm, modules, source].map(({ layer }) => layer),
      config: nodeConfig(kitchen, version, { title: 'fairway-server', program: 'server' }),
    })
  } catch (error) {
    throw inPlatformWords(error)
  }
}

/**
 * The image of our programs in pods of apps: the base and Node that images of Node apps have, and a few files.
 * @throws FairwayError PACKAGE_UNAVAILABLE, SIGNATURE_INVALID
 */
export async function bakeHelpers(
  kitchen: Kitchen,
  files: readonly LayerEntry[],
  { step, signal }: Pick<LayerJob, 'step' | 'signal'>,
): Promise<Digest> {
  const job: LayerJob = { kitchen, step, signal, output: () => undefined }
  try {
    const { version, layers } = await nodeRuntime(job, DEFAULT_NODE_MAJOR)
    const own = await addLayer(job, files, { level: 'small' })
    return await kitchen.images.addImage({
      layers: [...layers, own].map(({ layer }) => layer),
      config: nodeConfig(kitchen, version, {
        title: 'fairway-helpers',
        program: 'secrets-fetcher',
      }),
    })
  } catch (error) {
    throw inPlatformWords(error)
  }
}

/** Of an image that runs one of our own programs. */
function nodeConfig(
  { architecture }: Kitchen,
  version: string,
  { title, program }: { readonly title: string; readonly program: string },
): ImageConfigInput {
  return {
    architecture,
    cmd: ['node', `src/bin/${program}.ts`],
    env: { HOME: '/tmp', PATH: '/usr/local/bin:/usr/bin:/bin', NODE_VERSION: version },
    user: USER,
    workingDir: '/app',
    labels: { 'org.opencontainers.image.title': title },
  }
}

/** PostgreSQL's programs from Debian, and a shell, which initdb needs. @throws FairwayError PACKAGE_UNAVAILABLE, SIGNATURE_INVALID */
export async function bakePostgres(
  kitchen: Kitchen,
  { step, signal }: Pick<LayerJob, 'step' | 'signal'>,
): Promise<{ readonly digest: Digest; readonly major: string }> {
  const job: LayerJob = { kitchen, step, signal, output: () => undefined }
  try {
    const archive = await kitchen.debian()
    const found = await archive.resolve(['postgresql'], { exclude: NOT_NEEDED })
    const server = found.find(({ name }) => /^postgresql-\d+$/.test(name))
    if (server === undefined) throw new Error('the package postgresql names no server')
    const major = server.name.slice('postgresql-'.length)
    const base = await baseLayer(job, {
      name: `postgres${major}`,
      whole: [server.name, `postgresql-client-${major}`, 'dash'],
      libraries: ['libc6', 'libpq5'],
      roots: () => Promise.resolve([]),
      exclude: NOT_NEEDED,
      // Compiling queries at run time: an option, and larger than all the rest.
      optional: ['libLLVM-14.so.1', 'libLLVM-19.so.1', 'libpython3.11.so.1.0', 'libperl.so.5.36'],
      extra: [{ type: 'symlink', path: 'usr/bin/sh', target: 'dash' }],
    })
    const digest = await kitchen.images.addImage({
      layers: [base.layer],
      config: {
        architecture: kitchen.architecture,
        cmd: ['postgres'],
        env: { HOME: '/tmp', PATH: `/usr/lib/postgresql/${major}/bin:/usr/bin:/bin` },
        user: USER,
        // Ends sessions instead of waiting for them.
        stopSignal: 'SIGINT',
        labels: { 'org.opencontainers.image.title': 'fairway-postgres' },
      },
    })
    return { digest, major }
  } catch (error) {
    throw inPlatformWords(error)
  }
}

// Private

/** xz, in which Debian packs what a server in the image unpacks for others. No part of the base, which is theirs too. */
async function unpackerLayer(job: LayerJob): Promise<PlacedLayer> {
  const archive = await job.kitchen.debian()
  const found = await archive.resolve(['xz-utils'], { exclude: ['libc6'] })
  const packages = found.filter(({ name }) => name === 'xz-utils' || name === 'liblzma5')
  const key = layerKey('unpacker', { packages: packages.map(({ sha256 }) => sha256) })
  return keyedLayer(job, key, 'small', async (add) => {
    await archive.fetchPackages(packages, job.signal)
    const files = (await Promise.all(packages.map((pkg) => archive.files(pkg)))).flat()
    const needed = files.filter(({ path }) =>
      /\/(?:bin\/xz|liblzma\.so[^/]*|doc\/[^/]+\/copyright)$/.test(path),
    )
    return add([...debEntries(needed), ...(await metadataEntries(archive, packages))])
  })
}

/** npm, as the server asks it for versions and packages outside of any step. The image has no env(1), so its own first line does not find node. */
async function npmEntries(job: LayerJob): Promise<LayerEntry[]> {
  const { name, version } = npmFor(DEFAULT_NODE_MAJOR)
  const root = `${NPM_PACKAGE_ROOT}/node_modules/${name}`
  const folder = join(await npmPackage(job, name, version), root)
  const entries = await folderTree(folder, {
    root,
    choose: (path) => !/(?:^|\/)(?:man|docs)$/.test(path),
  })
  const text = `#!/usr/local/bin/node\nrequire('/${root}/lib/cli.js')(process)\n`
  const content = { bytes: Buffer.from(text) }
  return [...entries, { type: 'file', path: 'usr/local/bin/npm', mode: 0o755, content }]
}

/** Dependencies of packages that no server in a container needs. */
const NOT_NEEDED = [
  'adduser',
  'debconf',
  'dpkg',
  'init-system-helpers',
  'libllvm14',
  'libllvm19',
  'locales',
  'locales-all',
  'logrotate',
  'lsb-base',
  'openssl',
  'perl',
  'perl-base',
  'postgresql-client-common',
  'postgresql-common',
  'ssl-cert',
  'sysvinit-utils',
  'ucf',
] as const

/** What a layer of ours consists of, as a file of the image. */
export async function baseList(
  images: Pick<ImageStore, 'blobs'>,
  base: PlacedLayer,
): Promise<LayerEntry> {
  const { digest, diffId } = base.layer
  const entries = await listed(images.blobs.path(digest))
  const bytes = Buffer.from(JSON.stringify({ diffId, entries }))
  return { type: 'file', path: BASE_LIST, mode: 0o644, content: { bytes } }
}

/** A runtime of containers puts its own over these. */
const COVERED: ReadonlySet<string> = new Set(['etc/hosts', 'etc/hostname', 'etc/resolv.conf'])

/** The entries of a layer that we made, which is gzip. An unpacked tree has other owners where its files are mapped. */
async function listed(blob: string): Promise<readonly BaseEntry[]> {
  const reader = new TarReader(createReadStream(blob).pipe(createGunzip()))
  const found: BaseEntry[] = []
  for (let entry = await reader.next(); entry !== null; entry = await reader.next()) {
    const { type, mode, uid, gid } = entry
    const path = entry.path.replace(/\/$/, '')
    if (type === 'symlink') found.push({ type, path, target: entry.linkpath })
    else if (type === 'directory') found.push({ type, path, mode, uid, gid })
    else if (type === 'file') {
      const content = COVERED.has(path) ? await contentOf(reader) : undefined
      found.push({ type, path, mode, uid, gid, ...(content === undefined ? {} : { content }) })
    } else throw new TypeError(`a base with a ${type}: ${path}`)
  }
  return found
}

async function contentOf(reader: TarReader): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of reader.content()) chunks.push(chunk)
  return Buffer.concat(chunks).toString('base64')
}
