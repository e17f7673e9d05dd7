/** The image of our programs in pods of apps: baked when the first app on a cluster needs one, and kept where its nodes pull. */
import { z } from 'zod'
import { createKitchen } from '../bake/baker.ts'
import { bakeHelpers } from '../bake/platform-image.ts'
import { seedBase } from '../bake/seeded-base.ts'
import { FairwayError } from '../model/errors.ts'
import { isDigest } from '../oci/digest.ts'
import type { Store, TargetRecord } from '../model/store.ts'
import type { Digest } from '../model/release.ts'
import type { TargetRegistry } from '../model/targets.ts'
import { registryOf } from '../reconcile/target-registry.ts'
import { helperFiles } from './helper-files.ts'
import { bakerOptions, type KitchenOptions } from './kitchen.ts'
import { pushImage } from './release-images.ts'

export interface HelperImageOptions extends KitchenOptions {
  readonly store: Pick<Store, 'getSetting' | 'setSetting'>
}

/**
 * Raised when a program must be another one, for pods with one are then replaced once; a new version of this server alone replaces none.
 */
const VERSION = '1'
const NAME = 'fairway-helpers'

const known = z.object({ version: z.string(), registry: z.string(), digest: z.string() })

/** @returns its reference by digest @throws FairwayError REGISTRY_FAILED, PACKAGE_UNAVAILABLE */
export async function helperImage(
  options: HelperImageOptions,
  { name, settings }: TargetRecord,
): Promise<string> {
  const { store } = options
  const registry = registryOf(settings)
  if (registry === null)
    throw new FairwayError(
      'REGISTRY_FAILED',
      `the nodes of ${name} have nowhere to pull images from`,
    )
  const key = `helpers/${name}`
  const kept = await keptDigest(options, key, registry)
  if (kept !== null) return referenceOf(registry, kept)
  const digest = await bake(options)
  await options.images.tag(NAME, VERSION, digest)
  if (registry.push) await pushImage(options.images, digest, `${registry.name}/${NAME}`, registry)
  await store.setSetting(key, JSON.stringify({ version: VERSION, registry: registry.name, digest }))
  return referenceOf(registry, digest)
}

// Private

/** What was delivered there before, by this server or by another of the same store. */
async function keptDigest(
  { store, images }: HelperImageOptions,
  key: string,
  registry: TargetRegistry,
): Promise<string | null> {
  const text = await store.getSetting(key)
  if (text === null) return null
  const { data } = known.safeParse(JSON.parse(text))
  if (data?.version !== VERSION || data.registry !== registry.name) return null
  if (!isDigest(data.digest)) return null
  const isThere = registry.push || (await images.image(data.digest)) !== null
  return isThere ? data.digest : null
}

async function bake(options: HelperImageOptions): Promise<Digest> {
  const given = await bakerOptions(options)
  if (options.config.home !== null) await seedBase(given)
  const job = {
    step: (text: string) => options.log.info({ text }, 'makes the image of the programs in pods'),
    signal: AbortSignal.timeout(BAKE_MS),
  }
  return bakeHelpers(createKitchen(given), await helperFiles(), job)
}

const BAKE_MS = 600_000

function referenceOf({ name }: TargetRegistry, digest: string): string {
  return `${name}/${NAME}@${digest}`
}
