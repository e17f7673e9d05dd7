import { createBaker } from '../bake/baker.ts'
import { readPackageSources } from '../bake/package-sources.ts'
import { DebianArchive } from '../debian/debian-archive.ts'
import type { Log } from '../lib/log.ts'
import type { Baker } from '../model/build-plan.ts'
import type { Clock } from '../model/clock.ts'
import type { Sandbox } from '../model/sandbox.ts'
import type { ImageStore } from '../oci/image-store.ts'
import type { DataFolder } from './data-folder.ts'
import { environment } from './environment.ts'
import { once } from './once.ts'

export interface KitchenOptions {
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
export async function openKitchen({
  images,
  sandbox,
  folder,
  clock,
  log,
}: KitchenOptions): Promise<Baker> {
  return createBaker({
    images,
    debian: once(() => DebianArchive.open({ cacheDir: `${folder.cache}/debian`, log })),
    sandbox,
    cacheDir: folder.cache,
    packageSources: await readPackageSources(environment),
    now: () => clock.now(),
    log,
  })
}
