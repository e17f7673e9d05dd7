import { copyFile, link, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { BuildPlan } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import type { Digest } from '../model/release.ts'
import type { BakeJob, SourceJob } from './bake-job.ts'
import { withWorkFolder } from './build-step.ts'

/** An OCI image layout in the source. Everything in it is verified by the image store. */
export async function importLayout(
  job: SourceJob<BuildPlan & { readonly kind: 'oci-layout' }>,
): Promise<Digest> {
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

/** A tar written by `docker save` or `podman save`, or an OCI layout as a tar. */
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

/** An image of a registry, for this platform's architecture. */
export async function pullImage(
  job: BakeJob<BuildPlan & { readonly kind: 'image' }>,
): Promise<Digest> {
  const { images, architecture, pull } = job.kitchen
  return images.pull(job.plan.reference, {
    ...pull,
    platform: { os: 'linux', architecture },
  })
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
