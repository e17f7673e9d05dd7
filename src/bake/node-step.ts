import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ErrorCode } from '../model/errors.ts'
import type { SandboxRequest } from '../model/sandbox.ts'
import type { BakeJob } from './bake-job.ts'
import { buildEnv, caFiles } from './build-env.ts'
import { runStep, seenAt } from './build-step.ts'
import { nodeRuntime } from './node-runtime.ts'
import { NPM_PACKAGE_ROOT, npmPackage } from './npm-package.ts'
import type { PackageManager } from './package-manager.ts'
import { shellTools } from './tool-tree.ts'

/** A work folder of a bake: `app` is what is built, `home` takes what programs leave in their home. */
export interface NodeWork {
  readonly folder: string
  readonly nodeMajor: number
  readonly manager: PackageManager
}

export interface NodeStep {
  /** 'npm ci'. */
  readonly name: string
  readonly failure: ErrorCode
  /** Arguments of the package manager, or a program of PATH with its arguments. */
  readonly manager?: readonly string[]
  readonly program?: readonly string[]
  /** Shares the manager's cache with other apps: only for steps in which no foreign code runs, lest it write there. */
  readonly sharedCache: boolean
  /** Needs a shell and the usual small programs, as scripts of packages do. */
  readonly shell: boolean
  readonly env?: Readonly<Record<string, string>>
}

const INSIDE = { app: '/app', home: '/home/build', cache: '/var/cache/fairway' }

/** Runs one step of a Node build in the sandbox, with the app's Node and a package manager of a pinned version. */
export async function runNodeStep(job: BakeJob, work: NodeWork, step: NodeStep): Promise<void> {
  const { manager } = work
  const { cacheDir, locks } = job.kitchen
  const app = join(work.folder, 'app')
  const home = join(work.folder, 'home')
  const cache = step.sharedCache ? join(cacheDir, 'caches', manager.name) : join(home, 'cache')
  for (const folder of [app, home, cache]) await mkdir(folder, { recursive: true, mode: 0o755 })
  const homeSeen = seenAt(job, home, INSIDE.home)
  const cacheSeen = step.sharedCache ? seenAt(job, cache, INSIDE.cache) : `${homeSeen}/cache`
  const tools = await npmPackage(job, manager.name, manager.version)
  const request: Omit<SandboxRequest, 'limits'> = {
    lowerDirs: await lowerDirs(job, work, [tools, ...(step.shell ? await shellTools(job) : [])]),
    workDir: app,
    workMount: seenAt(job, app, INSIDE.app),
    caches: [
      { dir: home, mount: homeSeen },
      ...(step.sharedCache ? [{ dir: cache, mount: cacheSeen }] : []),
    ],
    readOnly: caFiles(job),
    argv: argvOf(job, step, manager, tools),
    env: {
      ...buildEnv(job, homeSeen),
      ...manager.cacheEnv(cacheSeen),
      npm_config_update_notifier: 'false',
      ...step.env,
      PATH: searchPath(job, app),
    },
    cwd: seenAt(job, app, INSIDE.app),
    network: true,
  }
  const task = (): Promise<void> =>
    runStep(job, { name: step.name, failure: step.failure, request })
  await (step.sharedCache ? locks.run(`cache ${manager.name}`, task) : task())
}

function argvOf(
  job: BakeJob,
  step: NodeStep,
  manager: PackageManager,
  tools: string,
): readonly string[] {
  if (step.program !== undefined) return step.program
  const root = seenAt(job, join(tools, NPM_PACKAGE_ROOT), `/${NPM_PACKAGE_ROOT}`)
  return ['node', `${root}/node_modules/${manager.name}/${manager.script}`, ...(step.manager ?? [])]
}

/** Topmost first: build-only trees above the app's runtime. A step on the host itself uses the host's own programs. */
async function lowerDirs(
  job: BakeJob,
  work: NodeWork,
  tools: readonly string[],
): Promise<readonly string[]> {
  const { images, sandbox, architecture } = job.kitchen
  if (sandbox.flavour === 'host') return []
  const runtime = await nodeRuntime({ ...job, step: () => undefined }, work.nodeMajor)
  const layers = runtime.layers.map(({ layer }) => layer)
  const digest = await images.addImage({ layers, config: { architecture } })
  return [...tools, ...(await images.lowerDirs(digest))]
}

function searchPath(job: BakeJob, app: string): string {
  const own = `${seenAt(job, app, INSIDE.app)}/node_modules/.bin`
  const boxed = job.kitchen.sandbox.flavour === 'image'
  return `${own}:${boxed ? '/usr/local/bin:/usr/bin:/bin' : job.kitchen.sources.path}`
}
