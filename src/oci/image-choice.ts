import { goArchitecture } from './image-config.ts'
import type { Descriptor, Platform } from './manifest.ts'
import { INDEX_TYPES, MANIFEST_TYPES } from './media-type.ts'
import { OciError } from './oci-error.ts'

export interface WantedPlatform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

export function hostPlatform(): WantedPlatform {
  return { os: 'linux', architecture: goArchitecture(process.arch) }
}

/**
 * The first entry of an index that matches (image-spec image-index.md); entries of unknown kinds are passed over, an entry without platform
 * is taken only where nothing matches. @throws OciError NOT_FOUND listing what there is
 */
export function choosePlatform(
  manifests: readonly Descriptor[],
  wanted: WantedPlatform,
): Descriptor {
  const usable = manifests.filter(
    ({ mediaType }) => MANIFEST_TYPES.includes(mediaType) || INDEX_TYPES.includes(mediaType),
  )
  const match =
    usable.find(({ platform }) => platform !== null && matches(platform, wanted)) ??
    usable.find(({ platform }) => platform === null)
  if (match !== undefined) return match
  const there = usable.map(({ platform }) => (platform === null ? '?' : text(platform))).join(', ')
  throw new OciError(
    'NOT_FOUND',
    `the image has no ${wanted.os}/${wanted.architecture} version; it has: ${there || 'nothing'}`,
  )
}

// Private

function matches(platform: Platform, wanted: WantedPlatform): boolean {
  return (
    platform.os === wanted.os &&
    platform.architecture === wanted.architecture &&
    (wanted.variant === undefined || platform.variant === wanted.variant)
  )
}

function text({ os, architecture, variant }: Platform): string {
  return `${os}/${architecture}${variant === null ? '' : `/${variant}`}`
}
