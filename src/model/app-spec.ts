import type { AppName, EnvironmentName, ProcessName } from './names.ts'

/**
 * The resolved app file: defaults filled in, the environment's overlay merged, references checked. `spec/` makes it, a release
 * stores it, engines read it. Times are milliseconds, memory is bytes, cpu is cores (0.5 = half a core).
 */
export interface AppSpec {
  readonly name: AppName
  readonly environment: EnvironmentName
  readonly build: BuildSpec
  /** Plain values only; the platform adds PORT and the values of `fairway env set`. */
  readonly env: Readonly<Record<string, string>>
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
  /** `web` has a port and may have routes, `worker` has neither. */
  readonly type: 'web' | 'worker'
  /** argv; null means what the image or the recognition says. */
  readonly command: readonly string[] | null
  readonly env: Readonly<Record<string, string>>
  /** Port that the process listens on inside; null = read PORT, which is then chosen by the runner (8080 in a container). */
  readonly port: number | null
  readonly routes: readonly RouteSpec[]
  readonly health: HealthSpec
  readonly shutdown: ShutdownSpec
  readonly resources: ResourceSpec
  readonly scale: { readonly min: number; readonly max: number }
  readonly strategy: 'rolling' | 'recreate'
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
