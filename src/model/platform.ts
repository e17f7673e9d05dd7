import type { AppSpec } from './app-spec.ts'
import type { Recognition } from './build-plan.ts'
import type { Instance, InstanceId, Usage } from './instance.ts'
import type { AppRef } from './names.ts'
import type { LogQuery } from './logs.ts'
import type { DeployInput, Release, Rollout, StepRecord } from './release.ts'
import type { ExecRequest, ExecSession, LogLine } from './runner.ts'
import type { SecretDocument } from './secrets.ts'
import type { AppRecord } from './store.ts'

/** Who asks; put on every release and rollout. */
export interface Actor {
  readonly id: string
  readonly name: string
  /** How long what they ask for waits for a second person, in milliseconds; null = it needs none. */
  readonly waitsMs: number | null
}

/** Most values of one app in one environment. */
export const MAX_CONFIG_KEYS = 256
/** Most bytes of them together, names included: what a program can be given at its start is about twice as much. */
export const MAX_CONFIG_BYTES = 1024 * 1024

export interface AppPlan {
  readonly ref: AppRef
  readonly spec: AppSpec
  readonly recognition: Recognition
  /** '+ process worker', '~ env LOG_LEVEL', '- route old.localhost/'; names and non-secret values only. Empty = nothing would change. */
  readonly changes: readonly string[]
  readonly warnings: readonly string[]
}

export interface AppStatus {
  readonly record: AppRecord
  readonly release: Release | null
  readonly rollout: Rollout | null
  readonly instances: readonly Instance[]
  readonly usage: ReadonlyMap<InstanceId, Usage>
  /** Full URLs, most specific first. */
  readonly urls: readonly string[]
}

/** What happens during a rollout, as a stream for people and scripts. */
export type RolloutEvent =
  | { readonly type: 'step'; readonly at: number; readonly step: StepRecord }
  | { readonly type: 'output'; readonly at: number; readonly text: string }
  | {
      readonly type: 'end'
      readonly at: number
      readonly rollout: Rollout
      readonly urls: readonly string[]
    }

export interface RunRequest {
  readonly process: string | null
  readonly argv: readonly string[]
  readonly timeoutMs: number
}

/**
 * Every use case of the control plane; `reconcile/` implements it, `api/` turns it into HTTP after asking who may.
 * Unknown apps, releases, instances and rollouts are FairwayError NOT_FOUND.
 */
export interface Platform {
  plan(ref: AppRef, input: DeployInput): Promise<AppPlan>
  /** Queues a deploy; a queued older one of the same app becomes `superseded`. Plan errors are thrown here, before anything is queued. */
  deploy(ref: AppRef, input: DeployInput, actor: Actor): Promise<Rollout>
  /** To a kept release, without a bake; null = the one before the active one. */
  rollback(ref: AppRef, to: number | null, actor: Actor): Promise<Rollout>
  /** Changes values of the environment; null deletes. A running app gets a new release; null where nothing runs yet. */
  setConfig(
    ref: AppRef,
    changes: Readonly<Record<string, string | null>>,
    actor: Actor,
  ): Promise<Rollout | null>
  /** Public half of the key that the environment's encrypted files are opened with; made where there is none yet, also before the first deploy. */
  environmentKey(ref: AppRef): Promise<{ readonly recipient: string }>
  /**
   * Other encrypted files for what runs: a new release without a bake. Null where every value is the same. They are opened before anything is queued.
   * @throws FairwayError NOT_RUNNING, SECRETS_CLOSED, SECRETS_INVALID, SECRETS_TAMPERED
   */
  pushSecrets(
    ref: AppRef,
    documents: readonly SecretDocument[],
    actor: Actor,
  ): Promise<Rollout | null>
  /**
   * New values for those that the release that serves lets generate; no names = all. Instances follow as the app file says. Returns their names.
   * @throws FairwayError NOT_RUNNING, NOT_FOUND (no such value), SECRETS_CLOSED
   */
  rotateGenerated(ref: AppRef, names: readonly string[]): Promise<readonly string[]>
  /**
   * Lets a waiting rollout go on, or ends it. Whoever asked for it may end it, never let it go on.
   * @throws FairwayError NOT_FOUND, CONFLICT where it does not wait (any more), FORBIDDEN for the asker
   */
  judge(
    ref: AppRef,
    rollout: string,
    verdict: 'approve' | 'refuse',
    by: { readonly id: string; readonly name: string },
  ): Promise<Rollout>
  /** Replicas per process; null = back to the app file. Resolves when applied, not when converged. */
  scale(
    ref: AppRef,
    changes: Readonly<Record<string, number | null>>,
    actor: Actor,
  ): Promise<AppRecord>
  /** Stops and removes everything of the app; resolves when gone. */
  destroy(ref: AppRef, actor: Actor): Promise<void>
  /** From the first event on, also of a rollout that has ended; ends with `end`. */
  events(ref: AppRef, rollout: string, signal: AbortSignal): AsyncIterable<RolloutEvent>

  /** @param sees which apps the asker may see: there is no list without it */
  list(sees: (ref: AppRef) => boolean): Promise<readonly AppStatus[]>
  status(ref: AppRef): Promise<AppStatus>
  /** Status now and after every change. */
  watch(ref: AppRef, signal: AbortSignal): AsyncIterable<AppStatus>
  releases(ref: AppRef, limit: number): Promise<readonly Release[]>
  rollouts(ref: AppRef, limit: number): Promise<readonly Rollout[]>
  rollout(ref: AppRef, id: string): Promise<Rollout>
  logs(ref: AppRef, query: LogQuery, signal: AbortSignal): AsyncIterable<LogLine>
  /** One-off command in a fresh instance of the active release. */
  run(
    ref: AppRef,
    request: RunRequest,
    onLine: (line: LogLine) => void,
    signal: AbortSignal,
  ): Promise<{ readonly code: number | null; readonly reason: string }>
  exec(ref: AppRef, instance: InstanceId, request: ExecRequest): Promise<ExecSession>
  /** Removes images, sources, releases and logs that nothing needs. */
  collect(): Promise<{ readonly bytes: number; readonly summary: string }>
}
