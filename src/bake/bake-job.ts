import type { DebianArchive } from '../debian/debian-archive.ts'
import type { Log } from '../lib/log.ts'
import type { KeyedMutex } from '../lib/mutex.ts'
import type { BakeRequest, BuildPlan } from '../model/build-plan.ts'
import type { Sandbox } from '../model/sandbox.ts'
import type { ImageStore } from '../oci/image-store.ts'
import type { StoredLayer } from '../oci/layer-record.ts'
import type { AppTree } from './app-tree.ts'
import type { ImageSources } from './image-sources.ts'
import type { PackageSources } from './package-sources.ts'

export type Architecture = 'amd64' | 'arm64'

/** How images of registries are fetched. */
export interface ImagePull {
  /** `host:port` under which this server's own registry answers: what it holds is in the image store already. */
  readonly ownHosts: readonly string[]
  /** Asked at every pull: people log in and out while the server runs. */
  readonly sources: () => Promise<ImageSources>
}

export interface OwnRuntime {
  /** '24.21.0'. */
  readonly version: string
  /** Path of the program, for Linux. */
  readonly binary: string
}

/** What every bake of one server shares. */
export interface Kitchen {
  readonly images: ImageStore
  /** Opened on first use only: a warm bake never reads a package index. */
  readonly debian: () => Promise<DebianArchive>
  readonly sandbox: Sandbox
  readonly cacheDir: string
  readonly sources: PackageSources
  readonly architecture: Architecture
  /** The Node that this server itself runs with, where apps may have the same; else the one that npm installed beside it. */
  readonly ownRuntime: OwnRuntime | null
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly log: Log
  readonly pull: ImagePull
  readonly locks: KeyedMutex
}

/** One bake under way. */
export interface BakeJob<Kind extends BuildPlan = BuildPlan> {
  readonly kitchen: Kitchen
  readonly request: BakeRequest
  readonly plan: Kind
  /** A line for people: 'dependencies: npm ci, 312 packages, 41 MB in 8.1 s'. */
  readonly step: (text: string) => void
  /** What a build tool printed. */
  readonly output: (text: string) => void
  readonly signal: AbortSignal
}

/** What the making of one layer needs to know of a bake. */
export type LayerJob = Pick<BakeJob, 'kitchen' | 'step' | 'output' | 'signal'>

/** A bake of something that has a source. */
export interface SourceJob<Kind extends BuildPlan = BuildPlan> extends BakeJob<Kind> {
  readonly tree: AppTree
}

export interface PlacedLayer {
  readonly layer: StoredLayer
  /** False = it was there before. */
  readonly created: boolean
}

/** What a recipe makes; the baker puts an image around it. */
export interface BakedApp {
  /** Lowest first. */
  readonly layers: readonly PlacedLayer[]
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
}
