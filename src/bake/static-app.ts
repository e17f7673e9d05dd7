import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { lookup } from 'mrmime'
import type { BuildPlan } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import type { LayerEntry } from '../oci/layer-entry.ts'
import { count, size } from './amounts.ts'
import { appLayer } from './app-tree.ts'
import type { BakedApp, PlacedLayer, SourceJob } from './bake-job.ts'
import { withWorkFolder } from './build-step.ts'
import { addLayer, keyedLayer } from './keyed-layer.ts'
import { layerKey } from './layer-key.ts'
import { build, outputEntries } from './node-build.ts'
import { install, writeSource } from './node-dependencies.ts'
import { nodeRuntime } from './node-runtime.ts'
import { DEFAULT_NODE_MAJOR, nodeVersion } from './node-version.ts'
import { npmFor } from './package-manager.ts'
import { parseManifest } from './package-manifest.ts'

type StaticJob = SourceJob<BuildPlan & { readonly kind: 'static' }>

/** The site in /app/site; our small server and its table of files in /app/.fairway, outside of what it serves. */
export async function bakeStatic(job: StaticJob): Promise<BakedApp> {
  const runtime =
    job.request.flavour === 'image' ? (await nodeRuntime(job, DEFAULT_NODE_MAJOR)).layers : []
  const site = job.request.spec.build.command === null ? await givenSite(job) : await builtSite(job)
  return {
    layers: [...runtime, await serverLayer(job), site],
    command: ['node', '.fairway/static-server.mjs', '.fairway/site.json', 'site'],
    env: { NODE_ENV: 'production' },
  }
}

const SERVER_FILE = join(import.meta.dirname, 'static-server', 'static-server.js')

async function serverLayer(job: StaticJob): Promise<PlacedLayer> {
  const content = { bytes: await readFile(SERVER_FILE) }
  const path = 'app/.fairway/static-server.mjs'
  return addLayer(job, [{ type: 'file', path, mode: 0o644, content }], { level: 'fast' })
}

async function givenSite(job: StaticJob): Promise<PlacedLayer> {
  const prefix = job.plan.root === '.' ? '' : `${job.plan.root.replace(/\/$/, '')}/`
  const below = (path: string): boolean => path.startsWith(prefix)
  const site = [...appLayer(job.tree, 'app/site', below)].map((entry) => ({
    ...entry,
    path: `app/site/${entry.path.slice(`app/site/${prefix}`.length)}`,
  }))
  const own = job.tree.entries.filter(({ path }) => below(path))
  const digests = new Map(
    own.flatMap((entry) =>
      entry.type === 'file' ? [[`/${entry.path.slice(prefix.length)}`, entry.digest]] : [],
    ),
  )
  const index = await siteIndex(job, site, (path) => Promise.resolve(digests.get(path) ?? ''))
  const key = layerKey('site', { prefix, own, index: index.toString() })
  return keyedLayer(job, key, 'fast', (add) => add([...site, indexEntry(index)]))
}

/** Installs where there is a package-lock.json, runs the command, and serves `root` of what is there then. */
async function builtSite(job: StaticJob): Promise<PlacedLayer> {
  return withWorkFolder(job, async (folder) => {
    const app = join(folder, 'app')
    const nodeMajor = DEFAULT_NODE_MAJOR
    const manager = npmFor(nodeMajor)
    const manifest = await job.tree.readText('package.json')
    if (manifest !== null && job.tree.file('package-lock.json') !== null) {
      const project = {
        manifest: parseManifest(manifest),
        lockfile: 'package-lock.json',
        manager,
        nodeMajor,
        nodeVersion: await nodeVersion(job, nodeMajor),
      }
      await install(job, folder, project, { production: false, wholeSource: true })
    } else await writeSource(job.tree, app, { modules: true })
    await build(job, { folder, nodeMajor, manager })
    const root = join(app, job.plan.root)
    const entries = await outputEntries(root, 'app/site', folder)
    const index = await siteIndex(job, entries, (path) => fileDigest(join(root, path)))
    return addLayer(job, [...entries, indexEntry(index)], { level: 'fast' })
  })
}

/** What our server looks paths up in: type, size and ETag of each file. @throws FairwayError BAKE_FAILED where there is none */
async function siteIndex(
  job: StaticJob,
  entries: readonly LayerEntry[],
  digestOf: (path: string) => Promise<string>,
): Promise<Buffer> {
  const table: Record<string, { type: string; size: number; etag: string }> = {}
  let bytes = 0
  for (const entry of [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    if (entry.type !== 'file' || !('size' in entry.content)) continue
    const path = entry.path.slice('app/site'.length)
    if (HIDDEN.test(path)) continue
    const etag = `"${(await digestOf(path)).replace('sha256:', '').slice(0, 32)}"`
    table[path.normalize()] = { type: contentType(path), size: entry.content.size, etag }
    bytes += entry.content.size
  }
  const number = Object.keys(table).length
  if (number === 0) {
    throw new FairwayError(
      'BAKE_FAILED',
      `there is no file to serve in folder ${JSON.stringify(job.plan.root)}`,
    )
  }
  job.step(`site: ${count(number, 'file')}, ${size(bytes)}`)
  return Buffer.from(JSON.stringify(table))
}

function indexEntry(bytes: Buffer): LayerEntry {
  return { type: 'file', path: 'app/.fairway/site.json', mode: 0o644, content: { bytes } }
}

/** Names that begin with a dot are not served, but for /.well-known (RFC 8615). */
const HIDDEN = /\/\.(?!well-known\/)/

function contentType(path: string): string {
  const type = lookup(path) ?? 'application/octet-stream'
  return /^text\/|json$|javascript$|xml$/.test(type) ? `${type}; charset=utf-8` : type
}

async function fileDigest(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
