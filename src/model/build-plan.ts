import type { AppSpec } from './app-spec.ts'
import type { AppRef } from './names.ts'
import type { Digest, ImageFacts, Release } from './release.ts'
import type { SourceTree } from './source.ts'

/** What a source is. `spec/` recognises it, `bake/` makes an image of it. Paths are relative to the source. */
export type BuildPlan =
  | {
      readonly kind: 'node'
      /** Major version, as `engines.node`, .nvmrc or .node-version ask; null = the platform's default (the newest LTS). */
      readonly version: number | null
      /** Lockfile path; null = no dependencies to install. */
      readonly lockfile: string | null
      readonly command: readonly string[]
    }
  | {
      readonly kind: 'jar'
      readonly jar: string
      readonly wars: readonly string[]
      readonly version: number | null
      readonly command: readonly string[]
    }
  | { readonly kind: 'binary'; readonly binary: string; readonly command: readonly string[] }
  | {
      readonly kind: 'python'
      /** Requirement files or '.' for a project with pyproject.toml; empty = no dependencies. */
      readonly requirements: readonly string[]
      readonly command: readonly string[]
    }
  | { readonly kind: 'static'; readonly root: string }
  | { readonly kind: 'oci-layout'; readonly path: string }
  | { readonly kind: 'docker-archive'; readonly path: string }
  | { readonly kind: 'image'; readonly reference: string }

/** What recognition found and why, for `fairway init`, `fairway plan` and the progress line. */
export interface Recognition {
  readonly plan: BuildPlan
  /** 'package.json with a start script', 'executable jar (Main-Class: …)'. */
  readonly evidence: string
  /** Variables that the start command sets for itself ('NODE_ENV=production node server.js'). */
  readonly env?: Readonly<Record<string, string>>
  /** Further processes of a Procfile by name (argv); `web` is `plan.command`. */
  readonly processes?: Readonly<Record<string, readonly string[]>>
  /** Things that people should know: 'package.json has a build script that is not run'. */
  readonly notes?: readonly string[]
}

export interface BakeRequest {
  readonly ref: AppRef
  readonly spec: AppSpec
  readonly plan: BuildPlan
  readonly source: SourceTree | null
  readonly flavour: 'image' | 'host'
}

/** Lines for people while a bake runs; `output` is what a build tool printed. */
export type BakeProgress = (event: {
  readonly kind: 'step' | 'output'
  readonly text: string
}) => void

export interface BakeResult {
  readonly image: ImageFacts
  /** '5 layers, 1 new, 12 kB'. */
  readonly summary: string
}

/** Source or artifact in, image in the image store out. Deterministic: the same request makes the same digest. */
export interface Baker {
  /** @throws FairwayError BAKE_FAILED, INSTALL_FAILED, PACKAGE_UNAVAILABLE, SIGNATURE_INVALID, INVALID_IMAGE, REGISTRY_FAILED, DISK_FULL, TIMEOUT */
  bake(request: BakeRequest, progress: BakeProgress, signal: AbortSignal): Promise<BakeResult>
}

/** Images of releases in the image store: the names under which people pull them, and the end of those that nothing needs. */
export interface ReleaseImages {
  /** Makes an image pullable as `<app>/<environment>:<number>` and `:latest`. Doing it again changes nothing. @throws where the store cannot be written */
  publish(release: Pick<Release, 'ref' | 'number' | 'image'>): Promise<void>
  /**
   * Brings the image to where the nodes of the release's target pull it; on this machine there is nothing to do. Doing it again costs little.
   * @throws FairwayError NOT_FOUND for an unknown target, REGISTRY_FAILED
   */
  deliver(release: Pick<Release, 'ref' | 'number' | 'image' | 'spec'>): Promise<void>
  /** Takes the name of a release away, or with null all that `publish` gave to an app; what people pushed there themselves stays. */
  withdraw(ref: AppRef, number: number | null): Promise<void>
  /** Garbage collection: everything that neither `keep` nor a name reaches and that was not used for `olderThanMs`. */
  collect(
    keep: ReadonlySet<Digest>,
    olderThanMs: number,
  ): Promise<{ readonly images: number; readonly bytes: number }>
}
