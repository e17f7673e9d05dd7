import { createBaker, type BakerOptions } from '../bake/baker.ts'
import { readImageSources } from '../bake/image-sources.ts'
import { readPackageSources, type PackageSources } from '../bake/package-sources.ts'
import { seedBase } from '../bake/seeded-base.ts'
import { DebianArchive } from '../debian/debian-archive.ts'
import type { Log } from '../lib/log.ts'
import type { Baker } from '../model/build-plan.ts'
import type { Clock } from '../model/clock.ts'
import type { Sandbox } from '../model/sandbox.ts'
import type { ImageStore } from '../oci/image-store.ts'
import { writeCaBundle } from './ca-bundle.ts'
import type { Config } from './config.ts'
import type { DataFolder } from './data-folder.ts'
import { environment } from './environment.ts'
import { once } from './once.ts'

export interface KitchenOptions {
  readonly config: Config
  readonly images: ImageStore
  readonly sandbox: Sandbox
  readonly folder: DataFolder
  readonly clock: Clock
  readonly log: Log
}

/**
 * Everything that only bakes need, loaded with the first one: a server that only runs apps does without OpenPGP, package indexes and
 * build plans. The host's package managers are asked here how they are configured.
 */
export async function openKitchen(options: KitchenOptions): Promise<Baker> {
  const given = await bakerOptions(options)
  if (options.config.home !== null) await seedBase(given)
  return createBaker(given)
}

export async function bakerOptions({
  config,
  images,
  sandbox,
  folder,
  clock,
  log,
}: KitchenOptions): Promise<BakerOptions> {
  return {
    images,
    debian: once(() => DebianArchive.open({ cacheDir: `${folder.cache}/debian`, log })),
    sandbox,
    cacheDir: folder.cache,
    packageSources: await packageSources(folder.cache),
    pull: {
      ownHosts: ownHosts(config),
      sources: () => readImageSources({ env: environment, uid: process.getuid?.() ?? 0 }),
    },
    ...(config.home === null
      ? {}
      : { ownRuntime: { version: process.versions.node, binary: process.execPath } }),
    now: () => clock.now(),
    log,
  }
}

/** A bundle that was named for package managers is whole; authorities that were only added for this program need the public ones beside them. */
async function packageSources(cache: string): Promise<PackageSources> {
  const sources = await readPackageSources(environment)
  const hasMore = (environment['NODE_EXTRA_CA_CERTS'] ?? '') !== ''
  if (sources.caBundle !== null || !hasMore) return sources
  return { ...sources, caBundle: await writeCaBundle(cache) }
}

/** Every way to write the address of our own API, where the registry is: images of it need no network and no login. */
function ownHosts({ api, hostNames }: Config): readonly string[] {
  const names = new Set(['127.0.0.1', 'localhost', '[::1]', api.host, ...hostNames])
  return [...names].map((name) => `${name}:${String(api.port)}`)
}
