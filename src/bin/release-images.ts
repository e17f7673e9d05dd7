import type { ReleaseImages } from '../model/build-plan.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef, type TargetName } from '../model/names.ts'
import type { Digest } from '../model/release.ts'
import type { Store } from '../model/store.ts'
import type { TargetRegistry } from '../model/targets.ts'
import type { ImageStore } from '../oci/image-store.ts'
import { OciError } from '../oci/oci-error.ts'
import { registryOf } from '../reconcile/target-registry.ts'
import { RELEASE_TAG, type ClusterRegistry } from './cluster-registry.ts'
import { collectHostTrees } from './host-rootfs.ts'

export interface ReleaseImagesOptions {
  readonly images: ImageStore
  readonly store: Pick<Store, 'getTarget' | 'listAllReleases'>
  readonly clock: Clock
  /** Data folder. */
  readonly root: string
  /** In a cluster what this store lacks may lie in the target's registry, pushed by the server before this one. */
  readonly home?: {
    readonly target: TargetName
    /** Null where the registry is a user's: it is not ours to clean. */
    readonly registry: ClusterRegistry | null
  }
  /** Removes what bakes keep beyond their budget; freed bytes, or null where it had to be put off. */
  readonly pruneCache?: () => Promise<number | null>
}

const LATEST = 'latest'

/** Releases as tags of the embedded registry: `shop/production:3`, and `:latest` for the one that serves; pushed to a target's own registry where it has one. */
export function releaseImages(options: ReleaseImagesOptions): ReleaseImages {
  const { images, store, clock, root, home } = options
  const { repositories } = images
  return {
    publish: async ({ ref, number, image }) => {
      // A server that took over in a cluster has not baked it; its name is in the target's registry.
      if (home !== undefined && (await images.image(image.digest)) === null) return
      for (const tag of [String(number), LATEST]) await images.tag(refKey(ref), tag, image.digest)
    },
    deliver: async ({ ref, number, image, spec }) => {
      if (spec.target === null) return
      const target = await store.getTarget(spec.target)
      if (target === null) throw new FairwayError('NOT_FOUND', `there is no target ${spec.target}`)
      const registry = registryOf(target.settings)
      if (registry === null) throw noRegistry(target.name)
      if (!registry.push) await images.tag(refKey(ref), String(number), image.digest)
      else if (home === undefined || (await images.image(image.digest)) !== null)
        await pushImage(images, image.digest, repositoryOf(registry, ref), registry)
      if (spec.target === home?.target) await home.registry?.tag(ref, number, image.digest)
    },
    withdraw: async (ref, number) => {
      const repository = refKey(ref)
      const ours = (tag: string): boolean =>
        number === null ? tag === LATEST || RELEASE_TAG.test(tag) : tag === String(number)
      const tags = await repositories.tags(repository)
      for (const tag of tags.filter(ours)) await repositories.deleteTag(repository, tag)
      await home?.registry?.withdraw(ref, number)
    },
    collect: async (keep, olderThanMs) => {
      await collectHostTrees(root, keep, clock.now() - olderThanMs)
      const collected = await images.collect(keep, olderThanMs, clock.now())
      const cacheBytes = (await options.pruneCache?.()) ?? 0
      const farBytes = await collectFar(options, olderThanMs)
      return { ...collected, bytes: collected.bytes + cacheBytes + farBytes }
    },
  }
}

/** The registry of a control plane in a cluster keeps what has a tag; images that an earlier version pushed get theirs here. */
async function collectFar(
  { home, store }: ReleaseImagesOptions,
  olderThanMs: number,
): Promise<number> {
  const registry = home?.registry ?? null
  if (registry === null) return 0
  const here = (await store.listAllReleases()).filter(({ spec }) => spec.target === home?.target)
  for (const releases of Map.groupBy(here, ({ ref }) => refKey(ref)).values()) {
    const [first] = releases
    const tagged = first === undefined ? [] : await registry.tagged(first.ref)
    for (const { ref, number, image } of releases)
      if (!tagged.includes(number)) await registry.tag(ref, number, image.digest)
  }
  return registry.collect(olderThanMs)
}

/** Under which name an app's images lie in the registry of a target, without tag or digest. */
export function repositoryOf(registry: Pick<TargetRegistry, 'name'>, ref: AppRef): string {
  return `${registry.name}/${refKey(ref)}`
}

/** The reference by digest that the nodes of a target pull. */
export function imageReference(
  registry: Pick<TargetRegistry, 'name'> | null,
  digest: Digest,
  ref: AppRef,
): string {
  return `${repositoryOf(registry ?? { name: 'no-registry.invalid' }, ref)}@${digest}`
}

/** Sends an image to a target's registry. @param repository host, path and name @throws FairwayError REGISTRY_FAILED */
export async function pushImage(
  images: ImageStore,
  digest: Digest,
  repository: string,
  { user, password, endpoint }: TargetRegistry,
): Promise<void> {
  const auth = user === null ? {} : { auth: { username: user, password: password ?? '' } }
  try {
    const at = endpoint === undefined ? {} : { endpoint, plainHttp: true }
    await images.push(digest, `${repository}@${digest}`, { ...auth, ...at })
  } catch (error) {
    if (!(error instanceof OciError)) throw error
    throw new FairwayError(
      'REGISTRY_FAILED',
      `the image cannot be pushed to ${repository}: ${error.message}`,
      { cause: error },
    )
  }
}

function noRegistry(name: string): FairwayError {
  return new FairwayError(
    'REGISTRY_FAILED',
    `the nodes of ${name} have nowhere to pull images from`,
    {
      hint: `Give the target a registry: \`fairway target add ${name} --registry HOST/PATH\` or \`--pull-from HOST:PORT\`.`,
    },
  )
}
