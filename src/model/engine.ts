import type { AppSpec, ProcessSpec } from './app-spec.ts'
import type { Instance, InstanceId, Usage } from './instance.ts'
import type { AppRef, ProcessName, TargetName } from './names.ts'
import type { ImageFacts } from './release.ts'
import type { ExecRequest, ExecSession, LogLine } from './runner.ts'
import type { SecretPlan } from './secrets.ts'
import type { ServedCounts } from './traffic.ts'

/** What should be true of one app in one environment. Applying the same twice is applying once. */
export interface DesiredApp {
  readonly ref: AppRef
  /** Cluster that it should run on; null = this machine. */
  readonly target: TargetName | null
  readonly workloads: readonly Workload[]
}

/** One process of the app: how many copies of which release, on one or two tracks. */
export interface Workload {
  readonly process: ProcessName
  /** What holds for all tracks: type, routes, health for the routes, strategy. That of the newest release. */
  readonly spec: ProcessSpec
  readonly tracks: readonly Track[]
}

export interface Track {
  readonly name: 'stable' | 'candidate'
  readonly release: number
  /** The process as this track's own release has it: what its copies are started with. */
  readonly spec: ProcessSpec
  readonly image: ImageFacts
  readonly env: Readonly<Record<string, string>>
  /** Names in `env` whose values are nobody's to read; absent = all of them. */
  readonly secretEnv?: readonly string[]
  /** Values that are opened for each copy when it starts, and not before. Absent = none. */
  readonly secrets?: SecretPlan
  readonly replicas: number
  /** Share of the routes' traffic, 0 to 100; tracks of a workload sum to 100. */
  readonly weight: number
}

export interface ActualApp {
  readonly ref: AppRef
  readonly instances: readonly Instance[]
  readonly workloads: readonly WorkloadStatus[]
}

/** The engine's verdict on one workload, from which rollouts are judged. */
export interface WorkloadStatus {
  readonly process: ProcessName
  /** Release that the stable track asks for. */
  readonly release: number
  readonly desired: number
  /** Ready and routed copies of that release. */
  readonly ready: number
  /** Copies of any other release that still run. */
  readonly old: number
  /** The same per track, in the order in which the target names them. */
  readonly tracks: readonly TrackStatus[]
  /**
   * `progressing` until all copies of all tracks are ready and, with two tracks, traffic is split as their weights say; `converged` when nothing old is
   * left besides; `failing` once a copy of a track's release missed its start deadline or crashed `CRASHES_UNTIL_FAILING` times, with the diagnosis for people.
   */
  readonly phase: 'progressing' | 'routed' | 'converged' | 'failing'
  readonly diagnosis: readonly string[]
  /** What keeps requests from copies that are as they should be; one line each, absent = nothing. */
  readonly warnings?: readonly string[]
}

export interface TrackStatus {
  readonly name: Track['name']
  readonly release: number
  readonly desired: number
  readonly ready: number
}

/** What the copies of one release have served, from which a canary is judged. Counts only grow while the same copies run. */
export interface ReleaseTraffic extends ServedCounts {
  readonly process: ProcessName
  readonly release: number
}

export interface JobRequest {
  readonly ref: AppRef
  readonly spec: AppSpec
  readonly process: ProcessName
  readonly release: number
  readonly image: ImageFacts
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** As in `Track`. */
  readonly secretEnv?: readonly string[]
  /** As in `Track`. */
  readonly secrets?: SecretPlan
  readonly timeoutMs: number
  /** The same key returns the same run: a resumed rollout finds its release command instead of starting a second one. */
  readonly key: string
  /** True: nobody asks for this run again, so nothing of it is kept but its log. */
  readonly once?: boolean
}

export interface JobResult {
  readonly instance: InstanceId
  readonly code: number | null
  readonly reason: string
  readonly lastLines: readonly string[]
}

/**
 * Makes an environment real. Level-triggered: a restart starts by looking. What must hold on the way is test/engine-suite: never
 * fewer ready instances than promised, new ready before old leaves, drained before signalled, failures with reasons, no orphans.
 */
export interface Engine {
  readonly name: 'machine' | 'kubernetes'
  /** What kind of image it wants baked for this app. */
  flavourOf(spec: AppSpec): 'image' | 'host'
  /** Keys of the app file that this engine cannot honour, as dotted paths. Empty = all fine. */
  unsupported(spec: AppSpec): readonly string[]
  /** What people should know of this target: what this engine does otherwise than the app file says, and why. One line each; absent = never anything. */
  notes?(desired: DesiredApp): Promise<readonly string[]>
  /** Adopts what runs, starts converging. */
  open(): Promise<void>
  /** Sets the target and returns at once; convergence shows in `watch`. */
  apply(desired: DesiredApp): Promise<void>
  /** The target becomes "nothing of this app": drained, stopped, removed; resolves when gone. */
  remove(ref: AppRef): Promise<void>
  actual(ref: AppRef): ActualApp
  /** Yields the current state, then every change, until the signal aborts. */
  watch(ref: AppRef, signal: AbortSignal): AsyncIterable<ActualApp>
  runJob(job: JobRequest, onLine: (line: LogLine) => void, signal: AbortSignal): Promise<JobResult>
  exec(ref: AppRef, instance: InstanceId, request: ExecRequest): Promise<ExecSession>
  /** One entry per copy that has served. Null where this engine does not see the traffic: nothing can be judged then. */
  measure(ref: AppRef): Promise<readonly ReleaseTraffic[] | null>
  usage(ref: AppRef): Promise<ReadonlyMap<InstanceId, Usage>>
  close(): Promise<void>
}
