import { copyFile, link, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { BuildPlan } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import type { Digest } from '../model/release.ts'
import type { BakeJob, SourceJob } from './bake-job.ts'
import { OciError } from '../oci/oci-error.ts'
import { formatReference, type Reference } from '../oci/reference.ts'
import type { Credentials } from '../oci/registry-session.ts'
import { size } from './amounts.ts'
import { withWorkFolder } from './build-step.ts'

/** An OCI image layout in the source, as a folder or as one tar. Everything in it is verified by the image store. */
export async function importLayout(
  job: SourceJob<BuildPlan & { readonly kind: 'oci-layout' }>,
): Promise<Digest> {
  const archive = job.tree.file(job.plan.path)
  if (archive !== null) return job.kitchen.images.importArchive(job.tree.contentPath(archive))
  const root = job.plan.path === '.' ? '' : `${job.plan.path.replace(/\/$/, '')}/`
  return withWorkFolder(job, async (folder) => {
    for (const entry of job.tree.entries) {
      if (entry.type !== 'file' || !entry.path.startsWith(root)) continue
      const path = join(folder, entry.path.slice(root.length))
      await mkdir(dirname(path), { recursive: true })
      await linkOrCopy(job.tree.contentPath(entry), path)
    }
    return job.kitchen.images.importLayout(folder)
  })
}

/** A tar written by `docker save` or `podman save`. */
export async function importArchive(
  job: SourceJob<BuildPlan & { readonly kind: 'docker-archive' }>,
): Promise<Digest> {
  const entry = job.tree.file(job.plan.path)
  if (entry === null) {
    throw new FairwayError(
      'INVALID_SOURCE',
      `there is no file ${JSON.stringify(job.plan.path)} in the source`,
    )
  }
  return job.kitchen.images.importArchive(job.tree.contentPath(entry))
}

/** An image of a registry, for this platform's architecture; one of the embedded registry is here already. */
export async function pullImage(
  job: BakeJob<BuildPlan & { readonly kind: 'image' }>,
): Promise<Digest> {
  const { pull } = job.kitchen
  const sources = await pull.sources()
  const places = sources.places(job.plan.reference)
  const failures: unknown[] = []
  for (const place of places) {
    if (pull.ownHosts.includes(place.host)) return ownImage(job, place)
    try {
      return await fetched(job, place, (await sources.login(place)) ?? undefined)
    } catch (error) {
      const elsewhere =
        error instanceof OciError && ['REGISTRY_FAILED', 'NOT_FOUND'].includes(error.code)
      if (!elsewhere || places.length === 1) throw error
      job.step(`${place.host}: ${error.message}`)
      failures.push(error)
    }
  }
  throw failures.at(-1)
}

async function fetched(
  { kitchen, step, signal }: BakeJob,
  place: Reference,
  auth: Credentials | undefined,
): Promise<Digest> {
  const { images, architecture } = kitchen
  const started = kitchen.now()
  let bytes = 0
  const digest = await images.pull(formatReference(place), {
    platform: { os: 'linux', architecture },
    signal,
    ...(auth === undefined ? {} : { auth }),
    progress: (blob) => {
      if (blob.done === blob.size) bytes += blob.size
    },
  })
  const seconds = ((kitchen.now() - started) / 1000).toFixed(1)
  step(`fetched from ${place.host}: ${size(bytes)} in ${seconds} s`)
  return digest
}

async function ownImage({ kitchen }: BakeJob, place: Reference): Promise<Digest> {
  const { images, architecture } = kitchen
  const { repository, tag, digest: named } = place
  const platform = { os: 'linux', architecture }
  const digest = await images.resolve(repository, named ?? tag ?? 'latest', platform)
  if (digest !== null) return images.accept(digest)
  const tags = await images.repositories.tags(repository)
  const there =
    tags.length === 0 ? `no repository ${repository}` : `only ${tags.slice(0, 10).join(', ')}`
  throw new FairwayError(
    'REGISTRY_FAILED',
    `this server's registry has no ${formatReference(place)}; it has ${there}`,
  )
}

async function linkOrCopy(source: string, path: string): Promise<void> {
  try {
    await link(source, path)
  } catch (error) {
    const other =
      error instanceof Error &&
      'code' in error &&
      (error.code === 'EXDEV' || error.code === 'EPERM')
    if (!other) throw error
    await copyFile(source, path)
  }
}
