import type { AppName, EnvironmentName, ProcessName, TargetName } from './names.ts'
import type { SecretReference, SourcedFile } from './secrets.ts'

/**
 * The resolved app file: defaults filled in, the environment's overlay merged, references checked. `spec/` makes it, a release
 * stores it, engines read it. Times are milliseconds, memory is bytes, cpu is cores (0.5 = half a core).
 */
export interface AppSpec {
  readonly name: AppName
  readonly environment: EnvironmentName
  /** Cluster that the environment runs on; null = this machine. */
  readonly target: TargetName | null
  readonly build: BuildSpec
  /** Plain values only; the platform adds PORT and the values of `fairway env set`. */
  readonly env: Readonly<Record<string, string>>
  /** Variables whose values are not in this file. Absent = none. */
  readonly envFrom?: Readonly<Record<string, SecretReference>> | undefined
  /** Files in the folder `secrets` whose contents come from elsewhere than the encrypted files, by name. Absent = none. */
  readonly files?: Readonly<Record<string, SourcedFile>> | undefined
  /** Encrypted files of the environment, by their paths in the app's folder. Absent = none. */
  readonly secrets?: readonly string[] | undefined
  readonly release: ReleaseCommand | null
  readonly processes: Readonly<Record<ProcessName, ProcessSpec>>
}

export interface BuildSpec {
  /** An image reference to run instead of baking the source, or null. */
  readonly image: string | null
  /** Command run in the build container after the dependency install (argv), or null. */
  readonly command: readonly string[] | null
  /** Folder inside the source that is baked, '.' by default. */
  readonly context: string
}

export interface ReleaseCommand {
  readonly command: readonly string[]
  readonly timeoutMs: number
}

export interface ProcessSpec {
  readonly name: ProcessName
  /** `web` has a port and may have routes, `worker` has neither, `cron` runs at times and ends by itself. */
  readonly type: 'web' | 'worker' | 'cron'
  /** Set exactly for type `cron`. */
  readonly schedule: ScheduleSpec | null
  /** argv; null means what the image or the recognition says. */
  readonly command: readonly string[] | null
  readonly env: Readonly<Record<string, string>>
  /** As in `AppSpec`, over those of the app. */
  readonly envFrom?: Readonly<Record<string, SecretReference>> | undefined
  /** Port that the process listens on inside; null = read PORT, which is then chosen by the runner (8080 in a container). */
  readonly port: number | null
  readonly routes: readonly RouteSpec[]
  readonly health: HealthSpec
  readonly shutdown: ShutdownSpec
  readonly resources: ResourceSpec
  readonly scale: { readonly min: number; readonly max: number }
  /** What controls two tracks at once (`bluegreen`, `canary`) is decided above the engine, by weights. */
  readonly strategy: 'rolling' | 'recreate' | 'bluegreen' | 'canary'
  /** Set exactly for strategy `canary`. */
  readonly canary: CanarySpec | null
  /** Set exactly for strategy `bluegreen`: how long the old release stays ready for an instant way back. */
  readonly bluegreen: { readonly keepMs: number } | null
  readonly volumes: readonly VolumeSpec[]
  /** Copies find each other under one name, given as PEERS_DNS. */
  readonly peers: boolean
  /** Copies can prove who they are wherever they run: on a machine all can, on a cluster a helper beside each copy sees to it. */
  readonly identity: boolean
  /** Null = the number of copies does not follow their load; else it stays within `scale`. */
  readonly autoscale: AutoscaleSpec | null
  readonly spread: 'none' | 'node' | 'zone'
  /** Most copies that maintenance may take away at once. */
  readonly disruption: number
  /** Whether copies may run on nodes that can vanish. */
  readonly spot: 'allow' | 'never'
  /** Who may call this process by its internal name; null = any process of the environment. Routes are open to everybody in any case. */
  readonly callers: readonly CallerSpec[] | null
  /** Instances older than this are replaced one by one; null = never. */
  readonly maxAgeMs: number | null
}

export interface RouteSpec {
  /** Full host name, lower case; null = `<app>.localhost`, or `<app>--<environment>.localhost` where the environment is not production (names never contain `--`). */
  readonly host: string | null
  /** Path prefix, always starts with '/'. */
  readonly path: string
}

export interface HealthSpec {
  /** HTTP path that must answer 200 to 399; null = a TCP connect for `web`, staying alive for `worker`. */
  readonly ready: string | null
  /** HTTP path; a copy that stops answering it is restarted. Null = only its end restarts it. */
  readonly live: string | null
  /** Longest time from start to ready. */
  readonly startMs: number
  readonly intervalMs: number
  readonly timeoutMs: number
  /** Failed probes in a row after which a ready instance leaves the routes. */
  readonly failures: number
}

export interface ShutdownSpec {
  readonly signal: 'SIGTERM' | 'SIGINT' | 'SIGQUIT' | 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2'
  /** Longest wait for requests in flight after the router stopped sending new ones. */
  readonly drainMs: number
  /** Time between the signal and SIGKILL. */
  readonly stopMs: number
}

export interface ResourceSpec {
  readonly cpu: number
  readonly memory: number
  readonly pids: number
}

export interface ScheduleSpec {
  /** Five fields, names of months and days allowed, Sunday is 0. */
  readonly cron: string
  /** IANA name. */
  readonly timezone: string
  /** What happens when the run before has not ended. */
  readonly overlap: 'forbid' | 'allow' | 'replace'
  /** Longest time of one run; null = no end. */
  readonly deadlineMs: number | null
  /** How often a failed run is tried again. */
  readonly retries: number
  /** How late a missed run may still start. */
  readonly catchUpMs: number
}

export interface CanarySpec {
  /** Shares of the traffic in percent, rising, the last is 100. */
  readonly steps: readonly number[]
  readonly pauseMs: number
  /** Null = only readiness is judged. */
  readonly analysis: CanaryAnalysis | null
}

export interface CanaryAnalysis {
  /** Share of answers 500 to 599, 0 to 1; more ends the canary. */
  readonly maxErrorRate: number
  /** 95th percentile of the answer time; null = any. */
  readonly p95Ms: number | null
  /** Fewer requests than this give no verdict. */
  readonly minRequests: number
}

/** A disk of the app as one process sees it. */
export interface VolumeSpec {
  readonly name: string
  readonly sizeBytes: number
  readonly mount: string
  /** Several copies may mount it at once; without, there is one copy, and it is recreated. */
  readonly shared: boolean
}

/** Average use of the limits, in percent, that the number of copies follows. */
export interface AutoscaleSpec {
  readonly cpuPercent: number | null
  readonly memoryPercent: number | null
}

export interface CallerSpec {
  readonly app: AppName
  readonly process: ProcessName
}

/** What a process has that the app file says nothing of, and that rows stored by earlier versions have. */
export const PROCESS_DEFAULTS = Object.freeze({
  schedule: null,
  canary: null,
  bluegreen: null,
  volumes: [],
  peers: false,
  identity: false,
  autoscale: null,
  spread: 'none',
  disruption: 1,
  spot: 'never',
  callers: null,
}) satisfies Partial<ProcessSpec>
