import type { Duplex } from 'node:stream'
import type { ExitFacts, FoundInstance, InstanceId, InstanceSpec, Usage } from './instance.ts'
import type { InstancePayload, PrivateFolder, PrivateFolderName, ReloadSignal } from './secrets.ts'

/**
 * Starts and stops single copies on this host. Level: list() is the truth, also for instances that an earlier server started;
 * every call is idempotent. A runner knows nothing of releases, readiness or routes.
 */
export interface Runner {
  readonly name: 'container' | 'process'
  /** False = says so on every start: no isolation between apps. */
  readonly isolates: boolean
  /** What images it can run. */
  readonly flavour: 'image' | 'host'

  /** Prepares the host (networks, directories). @throws FairwayError RUNNER_UNAVAILABLE with what is missing */
  open(): Promise<void>
  /**
   * Starts the instance and returns once its process runs; readiness is the engine's business. Starting an id that exists returns it as found.
   * `introduce` gets the address by which the router will know the instance as caller of others (`source` of what is found), and has ended before the first instruction runs.
   * `payload` may still be in the making; it is waited for before the first instruction runs. It is what the instance gets that must not touch a disk: files in memory (tmpfs; mode 0400, the app's user; the folders that `spec.privateFolders` names) and
   * variables (`spec.privateEnv`). A runner keeps neither beyond the instance; one that is adopted still has its files.
   * @throws FairwayError INSTANCE_FAILED (bad command, user, image), RUNNER_UNAVAILABLE (also where the host has no folder in memory), DISK_FULL, SECRETS_INVALID
   */
  start(
    spec: InstanceSpec,
    introduce?: (source: string) => Promise<void>,
    payload?: InstancePayload | Promise<InstancePayload>,
  ): Promise<FoundInstance>
  /**
   * Makes ahead what it can of an instance that may be started later, all but its command and its payload: a `start` of the same spec (`createdAt` and `values` aside) then takes less time.
   * Until then it is no instance: nothing lists it, `remove` ends it, as do `close` and the next `open`. Not for specs with `privateEnv`.
   * Returns its `source`; null where this runner makes nothing ahead.
   * @throws FairwayError as `start`, with nothing left behind
   */
  prepare(spec: InstanceSpec): Promise<string | null>
  /**
   * Puts these files in the place of the ones that the folder has, for a running instance that was started with that folder. All at once: whoever reads through `..data`
   * sees the old files or the new ones. Files that were open stay readable. On failure the old files stay.
   * @throws FairwayError NOT_FOUND, NOT_RUNNING (ended, or started without that folder), SECRETS_INVALID, DISK_FULL
   */
  place(id: InstanceId, folder: PrivateFolder): Promise<void>
  /** To the instance's main process, which goes on or ends as it likes. @throws FairwayError NOT_FOUND, NOT_RUNNING */
  signal(id: InstanceId, signal: ReloadSignal): Promise<void>
  /** Path on this host of a folder in memory of a running instance, for a socket beside its files (names without a dot in front are the caller's); null where it has none. */
  privatePath(id: InstanceId, name: PrivateFolderName): Promise<string | null>
  /** Every instance of this data directory, running or exited and not yet removed. */
  list(): Promise<readonly FoundInstance[]>
  /** Resolves with the exit as soon as it is known; at once for one that has exited; null for an unknown id. */
  waitForExit(id: InstanceId, signal?: AbortSignal): Promise<ExitFacts | null>
  /** Signals, waits up to `graceMs`, then kills. Resolves when the process and all its children are gone. Unknown id: resolves. */
  stop(
    id: InstanceId,
    options: { readonly signal: string; readonly graceMs: number },
  ): Promise<void>
  /** Frees filesystem, network and records of an exited instance; kills it first if it still runs. Log files stay. */
  remove(id: InstanceId): Promise<void>
  /** Runs a command inside a running instance. @throws FairwayError NOT_RUNNING, NOT_FOUND; COMMAND_FAILED where it has no such program */
  exec(id: InstanceId, request: ExecRequest): Promise<ExecSession>
  /** Null where the instance does not run. */
  usage(id: InstanceId): Promise<Usage | null>
  /** TCP ports in LISTEN state inside the instance, for diagnosis; empty where unknown. */
  listeningPorts(id: InstanceId): Promise<readonly number[]>
  /** Releases what this object holds. Instances keep running. */
  close(): Promise<void>
}

export interface ExecRequest {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly tty: boolean
}

export interface ExecSession {
  /** Bytes written go to stdin; bytes read are stdout (and stderr where `tty`). */
  readonly stdio: Duplex
  readonly stderr: NodeJS.ReadableStream | null
  /** Only with a tty. */
  resize(columns: number, rows: number): void
  /** Resolves when the command ended. */
  readonly exit: Promise<ExitFacts>
  kill(): void
}

/**
 * Log files of an instance: `<logDir>/<app>/<environment>/<instance id>.log` and, rotated, `.log.1`, `.log.2`…
 * Each line is `<RFC3339 time> <stdout|stderr> <F|P> <text>` (the CRI log format; P = partial line), what conmon writes.
 */
export interface LogLine {
  readonly time: number
  readonly stream: 'stdout' | 'stderr' | 'platform'
  readonly instance: InstanceId
  readonly process: string
  readonly release: number
  readonly text: string
}
