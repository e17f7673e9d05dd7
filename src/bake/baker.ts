import { mkdir } from 'node:fs/promises'
import { DebianError } from '../debian/debian-error.ts'
import type { DebianArchive } from '../debian/debian-archive.ts'
import type { Log } from '../lib/log.ts'
import { KeyedMutex } from '../lib/mutex.ts'
import type {
  Baker,
  BakeProgress,
  BakeRequest,
  BakeResult,
  BuildPlan,
} from '../model/build-plan.ts'
import { FairwayError, type ErrorCode } from '../model/errors.ts'
import type { Digest } from '../model/release.ts'
import type { Sandbox } from '../model/sandbox.ts'
import type { ImageStore } from '../oci/image-store.ts'
import { OciError } from '../oci/oci-error.ts'
import { count, size } from './amounts.ts'
import { openAppTree } from './app-tree.ts'
import type {
  Architecture,
  BakedApp,
  BakeJob,
  ImagePull,
  Kitchen,
  OwnRuntime,
  SourceJob,
} from './bake-job.ts'
import { bakeBinary } from './binary-app.ts'
import { checkPlatform, imageFacts } from './image-facts.ts'
import { importArchive, importLayout, pullImage } from './imported-image.ts'
import { bakeJar } from './jar-app.ts'
import { bakeNode } from './node-app.ts'
import type { PackageSources } from './package-sources.ts'
import { bakePython } from './python-app.ts'
import { bakeStatic } from './static-app.ts'

export interface BakerOptions {
  readonly images: ImageStore
  /** Called when a base has to be made: at most once a day and base. */
  readonly debian: () => Promise<DebianArchive>
  readonly sandbox: Sandbox
  /** A folder of the baker's own: caches of package managers, runtimes, work in progress. */
  readonly cacheDir: string
  readonly packageSources: PackageSources
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly log: Log
  /** How images of registries are fetched: credentials, default registry. */
  readonly pull: ImagePull
  /** Default: this host's. */
  readonly architecture?: Architecture
  readonly ownRuntime?: OwnRuntime
}

/** Does no I/O until the first bake. */
export function createBaker(options: BakerOptions): Baker {
  const kitchen = createKitchen(options)
  return { bake: (request, progress, signal) => bake(kitchen, request, progress, signal) }
}

/** What all bakes of one server share. */
export function createKitchen(options: BakerOptions): Kitchen {
  return {
    images: options.images,
    debian: options.debian,
    sandbox: options.sandbox,
    cacheDir: options.cacheDir,
    sources: options.packageSources,
    architecture: options.architecture ?? (process.arch === 'arm64' ? 'arm64' : 'amd64'),
    ownRuntime: options.ownRuntime ?? null,
    now: options.now,
    log: options.log,
    pull: options.pull,
    locks: new KeyedMutex(),
  }
}

async function bake(
  kitchen: Kitchen,
  request: BakeRequest,
  progress: BakeProgress,
  signal: AbortSignal,
): Promise<BakeResult> {
  signal.throwIfAborted()
  const job: BakeJob = {
    kitchen,
    request,
    plan: request.plan,
    step: (text) => progress({ kind: 'step', text }),
    output: (text) => progress({ kind: 'output', text }),
    signal,
  }
  try {
    await mkdir(kitchen.cacheDir, { recursive: true })
    return await bakePlan(job)
  } catch (error) {
    throw inPlatformWords(error)
  }
}

async function bakePlan(job: BakeJob): Promise<BakeResult> {
  const { plan } = job
  const isImage =
    plan.kind === 'image' || plan.kind === 'oci-layout' || plan.kind === 'docker-archive'
  if (isImage) requireContainers(job)
  if (plan.kind === 'image') return imported(job, await pullImage({ ...job, plan }))
  const source = await sourceJob(job)
  if (plan.kind === 'oci-layout') return imported(job, await importLayout({ ...source, plan }))
  if (plan.kind === 'docker-archive') return imported(job, await importArchive({ ...source, plan }))
  return finished(job, await bakeSource(source, plan))
}

type SourcePlan = Exclude<BuildPlan, { readonly kind: 'image' | 'oci-layout' | 'docker-archive' }>

async function bakeSource(job: SourceJob, plan: SourcePlan): Promise<BakedApp> {
  const { command } = job.request.spec.build
  if (command !== null && (plan.kind === 'jar' || plan.kind === 'binary')) {
    throw new FairwayError(
      'BAKE_FAILED',
      `build.command (${command.join(' ')}) cannot run for a ${plan.kind}: it is built already, and Fairway brings no tools for it`,
    )
  }
  switch (plan.kind) {
    case 'node':
      return bakeNode({ ...job, plan })
    case 'jar':
      return bakeJar({ ...job, plan })
    case 'binary':
      return bakeBinary({ ...job, plan })
    case 'python':
      return bakePython({ ...job, plan })
    case 'static':
      return bakeStatic({ ...job, plan })
  }
}

async function sourceJob(job: BakeJob): Promise<SourceJob> {
  const { source, spec, plan } = job.request
  if (source === null)
    throw new FairwayError('INVALID_SOURCE', `a ${plan.kind} needs a source, and none was sent`)
  const tree = await openAppTree(source, spec.build.context)
  if (tree.leftOut.length > 0) {
    const named = tree.leftOut.slice(0, 5).join(', ')
    const more = tree.leftOut.length > 5 ? ` and ${String(tree.leftOut.length - 5)} more` : ''
    job.step(`left out of the image: ${named}${more}`)
  }
  return { ...job, tree }
}

/** The image around the layers. Nothing in it tells when, where or for whom it was made: the same request makes the same digest. */
async function finished(job: BakeJob, app: BakedApp): Promise<BakeResult> {
  const { kitchen, request } = job
  if (app.command.length === 0) {
    throw new FairwayError('BAKE_FAILED', 'there is no start command', {
      hint: 'Give `processes.web.command` in fairway.yaml.',
    })
  }
  const boxed = request.flavour === 'image'
  const digest = await kitchen.images.addImage({
    layers: app.layers.map(({ layer }) => layer),
    config: {
      architecture: kitchen.architecture,
      cmd: app.command,
      env: boxed ? { PATH: IMAGE_PATH, HOME: '/tmp', ...app.env } : app.env,
      user: boxed ? USER : '',
      workingDir: '/app',
      labels: { 'org.opencontainers.image.title': request.spec.name },
    },
  })
  const fresh = app.layers.filter(({ created }) => created)
  const bytes = fresh.reduce((sum, { layer }) => sum + layer.size, 0)
  const summary = `${count(app.layers.length, 'layer')}, ${String(fresh.length)} new${fresh.length === 0 ? '' : `, ${size(bytes)}`}`
  return { image: await imageFacts(kitchen.images, digest, request.flavour), summary }
}

const IMAGE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** Nobody in particular: the user that Debian's and distroless' images call nonroot. */
const USER = '65532:65532'

async function imported(job: BakeJob, digest: Digest): Promise<BakeResult> {
  const { images, architecture } = job.kitchen
  const image = await images.image(digest)
  if (image !== null) checkPlatform(image, architecture)
  const facts = await imageFacts(images, digest, 'image')
  const layers = count(image?.layers.length ?? 0, 'layer')
  job.step(`image: ${layers}, ${size(facts.sizeBytes)}`)
  return { image: facts, summary: `${layers}, ${size(facts.sizeBytes)}` }
}

/** Before anything is fetched. @throws FairwayError RUNNER_UNAVAILABLE */
function requireContainers({ request }: BakeJob): void {
  if (request.flavour === 'image') return
  throw new FairwayError(
    'RUNNER_UNAVAILABLE',
    'an image needs the container runner, and this server runs programs of the host',
    { hint: '`fairway doctor` says what the container runner needs.' },
  )
}

const OCI_CODES: Readonly<Record<string, ErrorCode>> = {
  INVALID_IMAGE: 'INVALID_IMAGE',
  DISK_FULL: 'DISK_FULL',
  DIGEST_MISMATCH: 'INVALID_IMAGE',
  TOO_LARGE: 'TOO_LARGE',
  NOT_FOUND: 'REGISTRY_FAILED',
  INVALID_REQUEST: 'INVALID_REQUEST',
  REGISTRY_FAILED: 'REGISTRY_FAILED',
}

const REFERENCE_HINT =
  'Name an image as registry.example/team/app:1.2; names without a registry need one in registries.conf of the server.'

const DEBIAN_CODES: Readonly<Record<string, ErrorCode>> = { SIGNATURE_INVALID: 'SIGNATURE_INVALID' }

/** Errors of the libraries below in the words of the platform; anything unknown stays what it is. */
export function inPlatformWords(error: unknown): unknown {
  if (error instanceof OciError) {
    return new FairwayError(OCI_CODES[error.code] ?? 'INTERNAL', error.message, {
      cause: error,
      ...(error.code === 'INVALID_REQUEST' ? { hint: REFERENCE_HINT } : {}),
    })
  }
  if (error instanceof DebianError) {
    return new FairwayError(DEBIAN_CODES[error.code] ?? 'PACKAGE_UNAVAILABLE', error.message, {
      cause: error,
    })
  }
  if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') {
    return new FairwayError('DISK_FULL', 'the disk is full', { cause: error })
  }
  return error
}
