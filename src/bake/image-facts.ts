import { FairwayError } from '../model/errors.ts'
import type { Digest, ImageFacts } from '../model/release.ts'
import type { ImageStore, StoredImage } from '../oci/image-store.ts'

/** What the engine needs to know of an image of the store. @throws FairwayError INVALID_IMAGE for one that is not there or starts nothing */
export async function imageFacts(
  images: ImageStore,
  digest: Digest,
  flavour: ImageFacts['flavour'],
): Promise<ImageFacts> {
  const image = await images.image(digest)
  if (image === null) throw new FairwayError('INVALID_IMAGE', `image ${digest} is not in the store`)
  const { config } = image
  return {
    digest,
    flavour,
    command: [...config.entrypoint, ...config.cmd],
    env: environment(config.env),
    workingDir: config.workingDir === '' ? '/' : config.workingDir,
    user: config.user,
    port: firstTcpPort(config.exposedPorts),
    sizeBytes: image.sizeBytes,
  }
}

/** @throws FairwayError INVALID_IMAGE for an image that this machine cannot run */
export function checkPlatform(image: StoredImage, architecture: string): void {
  const { os, architecture: its } = image.config
  if (os === 'linux' && its === architecture) return
  throw new FairwayError(
    'INVALID_IMAGE',
    `the image is for ${os}/${its}, this platform runs linux/${architecture}`,
  )
}

function environment(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf('=')
      return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)]
    }),
  )
}

function firstTcpPort(ports: readonly string[]): number | null {
  for (const port of ports) {
    const found = /^(\d{1,5})(?:\/tcp)?$/.exec(port)
    const number = found === null ? 0 : Number(found[1])
    if (number > 0 && number < 65_536) return number
  }
  return null
}
