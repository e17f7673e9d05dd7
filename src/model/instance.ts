import { FairwayError } from './errors.ts'
import type { HealthSpec, ResourceSpec, ShutdownSpec } from './app-spec.ts'
import type { AppRef, ProcessName } from './names.ts'
import type { ImageFacts } from './release.ts'
import type { LiveVersion, PrivateFolderName } from './secrets.ts'

/** `<process>-<release>-<random>`, unique on the host, safe as a directory and cgroup name. */
export type InstanceId = string

/** Everything a runner needs to start one copy; stored beside the instance, so that it can be adopted by a later server. */
export interface InstanceSpec {
  readonly id: InstanceId
  readonly ref: AppRef
  readonly process: ProcessName
  /** `service` runs until stopped; `job` ends by itself (release command, `fairway run`). */
  readonly kind: 'service' | 'job'
  readonly release: number
  readonly image: ImageFacts
  /** Already decided: process command, else image command. Never a shell string; `$PORT` in it is the runner's to fill in (lib/port-argument.ts). */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Port inside; null = the runner chooses and sets PORT. Workers and jobs have `listens: false`. */
  readonly port: number | null
  readonly listens: boolean
  readonly health: HealthSpec
  readonly shutdown: ShutdownSpec
  readonly resources: ResourceSpec
  readonly createdAt: number
  /** Folders in memory that it has; what is in them is no part of this. Absent = none. */
  readonly privateFolders?: readonly PrivateFolderName[]
  /** Names of variables whose values are no part of this. Absent = none. */
  readonly privateEnv?: readonly string[]
  /** Which values it was started with, of those that change without a release. Absent = it has none. */
  readonly values?: LiveVersion
}

export interface Address {
  readonly host: string
  readonly port: number
}

export interface ExitFacts {
  /** Exit code 0 to 255, or null where the process was killed by a signal or the code is not known. */
  readonly code: number | null
  readonly signal: string | null
  readonly reason: 'exited' | 'oom' | 'killed' | 'unknown'
  readonly at: number
}

/** What a runner finds on the host: instances it started, in this life of the server or an earlier one. */
export interface FoundInstance {
  readonly spec: InstanceSpec
  readonly state: 'running' | 'exited'
  /** Where it listens; null for one that does not. */
  readonly address: Address | null
  /** The address by which the router knows it as caller of others (`Caller` in traffic.ts), where it has one of its own: also workers and jobs. */
  readonly source: string | null
  readonly startedAt: number
  readonly exit: ExitFacts | null
}

/** As people and the API see it. */
/** @throws FairwayError NOT_FOUND, NOT_RUNNING */
export function requireRunning(found: FoundInstance | null, id: InstanceId): FoundInstance {
  if (found === null) throw new FairwayError('NOT_FOUND', `there is no instance ${id}`)
  if (found.state !== 'running') throw new FairwayError('NOT_RUNNING', `${id} has ended`)
  return found
}

/** @throws FairwayError NOT_RUNNING where it was started without that folder */
export function requireFolder({ spec }: FoundInstance, name: PrivateFolderName): void {
  if (spec.privateFolders?.includes(name) === true) return
  throw new FairwayError('NOT_RUNNING', `${spec.id} was started without the folder ${name}`)
}

export type InstanceState =
  'starting' | 'ready' | 'unready' | 'draining' | 'stopping' | 'crashed' | 'exited'

export interface Instance {
  readonly id: InstanceId
  readonly ref: AppRef
  readonly process: ProcessName
  readonly release: number
  readonly track: 'stable' | 'candidate'
  readonly state: InstanceState
  /** Why it is in this state, for people: 'waiting for GET /healthz (503)', 'out of memory, limit 128 MiB, restart in 4 s'. */
  readonly reason: string
  readonly address: Address | null
  readonly startedAt: number
  readonly restarts: number
  readonly exit: ExitFacts | null
}

export interface Usage {
  readonly memoryBytes: number
  readonly memoryLimitBytes: number | null
  readonly cpuSeconds: number
  readonly pids: number
}
