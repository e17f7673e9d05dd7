import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ImagePull } from '../../src/bake/bake-job.ts'
import { createBaker } from '../../src/bake/baker.ts'
import { readImageSources } from '../../src/bake/image-sources.ts'
import { readPackageSources, type PackageSources } from '../../src/bake/package-sources.ts'
import { DebianArchive } from '../../src/debian/debian-archive.ts'
import { silentLog } from '../../src/lib/log.ts'
import type { BakeRequest, BakeResult, BuildPlan } from '../../src/model/build-plan.ts'
import { parseAppName, parseEnvironmentName } from '../../src/model/names.ts'
import type { Sandbox } from '../../src/model/sandbox.ts'
import type { SourceTree } from '../../src/model/source.ts'
import { ImageStore } from '../../src/oci/image-store.ts'
import { HostSandbox } from './host-sandbox.ts'

export interface KitchenOptions {
  readonly sandbox?: Sandbox
  readonly debian?: () => Promise<DebianArchive>
  /** A cache folder of another kitchen; default: its own, deleted with it. */
  readonly cacheDir?: string
  readonly ownerOffset?: number
  readonly now?: () => number
  /** Default: this host's own configuration, with no login of anybody. */
  readonly pull?: ImagePull
}

/** A real baker over a real image store in a temporary folder. */
export class TestKitchen {
  readonly root: string
  readonly images: ImageStore
  readonly lines: string[] = []
  readonly output: string[] = []
  readonly #bake: (request: BakeRequest) => Promise<BakeResult>

  private constructor(
    root: string,
    images: ImageStore,
    sources: PackageSources,
    options: KitchenOptions,
  ) {
    this.root = root
    this.images = images
    const baker = createBaker({
      images,
      debian: options.debian ?? (() => DebianArchive.open({ cacheDir: join(root, 'debian') })),
      sandbox: options.sandbox ?? new HostSandbox(),
      cacheDir: options.cacheDir ?? join(root, 'bake'),
      packageSources: sources,
      pull: options.pull ?? { ownHosts: [], sources: () => readImageSources({ env: {}, uid: 0 }) },
      now: options.now ?? Date.now,
      log: silentLog,
    })
    this.#bake = (request) =>
      baker.bake(
        request,
        ({ kind, text }) => (kind === 'step' ? this.lines : this.output).push(text),
        new AbortController().signal,
      )
  }

  static async open(options: KitchenOptions = {}): Promise<TestKitchen> {
    const root = await mkdtemp(join(tmpdir(), 'fairway-bake-'))
    const { ownerOffset = 0 } = options
    const images = await ImageStore.open({ root: join(root, 'images'), ownerOffset })
    return new TestKitchen(root, images, await readPackageSources(process.env), options)
  }

  bake(
    plan: BuildPlan,
    source: SourceTree | null,
    options: {
      readonly flavour?: 'image' | 'host'
      readonly command?: readonly string[]
      readonly context?: string
    } = {},
  ): Promise<BakeResult> {
    return this.#bake(bakeRequest(plan, source, options))
  }

  async close(): Promise<void> {
    await rm(this.root, { recursive: true, force: true })
  }
}

export function bakeRequest(
  plan: BuildPlan,
  source: SourceTree | null,
  options: {
    readonly flavour?: 'image' | 'host'
    readonly command?: readonly string[]
    readonly context?: string
  } = {},
): BakeRequest {
  const { flavour = 'image', command = null, context = '.' } = options
  const name = parseAppName('sample')
  const environment = parseEnvironmentName('production')
  return {
    ref: { app: name, environment },
    spec: {
      name,
      environment,
      target: null,
      build: { image: null, command, context },
      env: {},
      release: null,
      processes: {},
    },
    plan,
    source,
    flavour,
  }
}
