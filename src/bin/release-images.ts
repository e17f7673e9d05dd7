import type { ReleaseImages } from '../model/build-plan.ts'
import type { Clock } from '../model/clock.ts'
import { refKey } from '../model/names.ts'
import type { ImageStore } from '../oci/image-store.ts'
import { collectHostTrees } from './host-rootfs.ts'

const LATEST = 'latest'

/** Releases as tags of the embedded registry: `shop/production:3`, and `:latest` for the one that serves. */
export function releaseImages(images: ImageStore, clock: Clock, root: string): ReleaseImages {
  const { repositories } = images
  return {
    publish: async ({ ref, number, image }) => {
      for (const tag of [String(number), LATEST]) await images.tag(refKey(ref), tag, image.digest)
    },
    withdraw: async (ref, number) => {
      const repository = refKey(ref)
      const ours = (tag: string): boolean =>
        number === null ? tag === LATEST || /^[1-9]\d*$/.test(tag) : tag === String(number)
      const tags = await repositories.tags(repository)
      for (const tag of tags.filter(ours)) await repositories.deleteTag(repository, tag)
    },
    collect: async (keep, olderThanMs) => {
      await collectHostTrees(root, keep, clock.now() - olderThanMs)
      return images.collect(keep, olderThanMs, clock.now())
    },
  }
}
