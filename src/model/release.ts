import type { AppSpec } from './app-spec.ts'
import type { AppRef } from './names.ts'
import type { SecretDocument } from './secrets.ts'

export type Digest = `sha256:${string}`

/** Immutable: image digest + resolved app file + configuration version, numbered from 1 per app and environment. */
export interface Release {
  readonly ref: AppRef
  readonly number: number
  readonly image: ImageFacts
  readonly spec: AppSpec
  /** Values of `fairway env set` at the time, merged over `spec.env` when instances start. Never printed. */
  readonly config: Readonly<Record<string, string>>
  readonly configVersion: number
  /** The encrypted files that `spec.secrets` names, as they were sent. Absent = none. */
  readonly secrets?: readonly SecretDocument[] | undefined
  readonly createdAt: number
  readonly createdBy: string
  /** What a person sees in `fairway releases`: 'deploy', 'rollback to 3', 'env set A, B'. */
  readonly reason: string
  readonly status: ReleaseStatus
}

/**
 * `active` serves; `superseded` served once and may be rolled back to; `failed` never served.
 */
export type ReleaseStatus = 'pending' | 'active' | 'superseded' | 'failed'

/** What the engine needs to know of an image without opening it. */
export interface ImageFacts {
  readonly digest: Digest
  /** `image`: a root filesystem; `host`: only the app's files, for runner `process` with the host's own runtimes. */
  readonly flavour: 'image' | 'host'
  /** Entrypoint + Cmd of the image config. */
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly workingDir: string
  /** `uid[:gid]` or a name, as in the image config; '' = the image says nothing. */
  readonly user: string
  /** First exposed TCP port of the image config, or null. */
  readonly port: number | null
  readonly sizeBytes: number
}

/**
 * The persisted steps of a deploy, in the order in which they happen; a step is done, running, failed or not begun. `approve` is there only
 * in protected environments.
 */
export const STEPS = ['approve', 'bake', 'gate', 'release', 'start', 'switch', 'drain'] as const
export type StepName = (typeof STEPS)[number]

export interface StepRecord {
  readonly name: StepName
  readonly status: 'running' | 'done' | 'skipped' | 'failed'
  readonly startedAt: number
  readonly endedAt: number | null
  /** One line for people: '3 layers, 1 new, 12 kB'. */
  readonly summary: string
}

/** A deploy, rollback or configuration change under way or ended. Its row is the only truth after a crash. */
export interface Rollout {
  readonly id: string
  readonly ref: AppRef
  /** Null until the bake has made the release. */
  readonly release: number | null
  readonly previous: number | null
  readonly request: RolloutRequest
  /** `waiting`: for its approval; it has no turn in the queue. */
  readonly status: 'waiting' | 'queued' | 'running' | 'succeeded' | 'failed' | 'superseded'
  readonly steps: readonly StepRecord[]
  /** Percent of the traffic that the new release gets before it is the one that serves: a canary's progress. */
  readonly share: number
  readonly failure: RolloutFailure | null
  readonly createdAt: number
  readonly endedAt: number | null
  readonly createdBy: string
  /** Null where nobody needs to approve it. */
  readonly approval: Approval | null
}

/** What a rollout in a protected environment waits for, or got. */
export interface Approval {
  /** Id of whoever asked for it, who cannot approve it. */
  readonly askedBy: string
  readonly expiresAt: number
  /** Null = not yet. */
  readonly approvedBy: string | null
}

/** What a client hands in: a packed source, an app file, an image reference, or several of them. Kept with the rollout, so that a restart can go on. */
export interface DeployInput {
  /** Id of a saved source; null where an image is named instead. */
  readonly source: string | null
  /** Text of fairway.yaml; null = recognise everything. */
  readonly appFile: { readonly path: string; readonly text: string } | null
  /** Image reference given on the command line instead of a source. */
  readonly image: string | null
  /** The encrypted files that the app file names for the environment. Absent = none. */
  readonly secrets?: readonly SecretDocument[] | undefined
}

export type RolloutRequest =
  | ({ readonly kind: 'deploy' } & DeployInput)
  | { readonly kind: 'rollback'; readonly to: number }
  | { readonly kind: 'config'; readonly summary: string }
  /** Other values for what runs: nothing is baked. */
  | { readonly kind: 'secrets'; readonly documents: readonly SecretDocument[] }

export interface RolloutFailure {
  readonly code: string
  readonly message: string
  /** What to do about it; absent where the error table's hint for the code says it, and in rows of older versions. */
  readonly hint?: string | undefined
  readonly diagnosis: readonly string[]
}
