import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ErrorCode } from '../model/errors.ts'
import type { BakeJob, PlacedLayer } from './bake-job.ts'
import { buildEnv, caFiles } from './build-env.ts'
import { runStep, seenAt } from './build-step.ts'

export interface ToolStep {
  readonly name: string
  readonly failure: ErrorCode
  /** Its folder `app` is what the step works in; `home` takes the rest. */
  readonly folder: string
  /** Build-only trees, topmost first, above `layers` (lowest first). Not used where steps run on the host itself. */
  readonly tools: readonly string[]
  readonly layers: readonly PlacedLayer[]
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly network: boolean
  /** Environment variable that gets the folder of a cache that outlives the step, and that cache's name. */
  readonly cache?: { readonly variable: string; readonly name: string }
  /** Further folders of PATH inside, in front. */
  readonly path?: readonly string[]
}

/** Where the work folder is inside a step. */
export const WORK_MOUNT = '/app'
const HOME_MOUNT = '/home/build'
const CACHE_MOUNT = '/var/cache/fairway'

/** Runs a program of Debian's packages in the sandbox, or the host's own one of that name. @throws FairwayError as runStep() */
export async function runToolStep(job: BakeJob, step: ToolStep): Promise<void> {
  const { cacheDir, locks, sandbox, sources } = job.kitchen
  const app = join(step.folder, 'app')
  const home = join(step.folder, 'home')
  const cache = step.cache === undefined ? null : join(cacheDir, 'caches', step.cache.name)
  for (const folder of [app, home, cache]) {
    if (folder !== null) await mkdir(folder, { recursive: true, mode: 0o755 })
  }
  const homeSeen = seenAt(job, home, HOME_MOUNT)
  const cacheSeen = cache === null ? '' : seenAt(job, cache, CACHE_MOUNT)
  const boxed = sandbox.flavour === 'image'
  const request = {
    lowerDirs: boxed ? [...step.tools, ...(await trees(job, step.layers))] : [],
    workDir: app,
    workMount: seenAt(job, app, WORK_MOUNT),
    caches: [
      { dir: home, mount: homeSeen },
      ...(cache === null ? [] : [{ dir: cache, mount: cacheSeen }]),
    ],
    readOnly: caFiles(job),
    argv: step.argv,
    env: {
      ...buildEnv(job, homeSeen),
      ...(step.cache === undefined ? {} : { [step.cache.variable]: cacheSeen }),
      ...step.env,
      PATH: [...(step.path ?? []), boxed ? '/usr/local/bin:/usr/bin:/bin' : sources.path].join(':'),
    },
    cwd: seenAt(job, app, WORK_MOUNT),
    network: step.network,
  }
  const task = (): Promise<void> =>
    runStep(job, { name: step.name, failure: step.failure, request })
  await (cache === null ? task() : locks.run(`cache ${cache}`, task))
}

async function trees(job: BakeJob, layers: readonly PlacedLayer[]): Promise<readonly string[]> {
  const { images, architecture } = job.kitchen
  const digest = await images.addImage({
    layers: layers.map(({ layer }) => layer),
    config: { architecture },
  })
  return images.lowerDirs(digest)
}
