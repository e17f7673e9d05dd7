import type { AppRef } from './names.ts'
import type { InstanceId, InstanceSpec } from './instance.ts'
import type { LogLine } from './runner.ts'

export interface LogQuery {
  readonly process?: string | undefined
  readonly instance?: InstanceId | undefined
  /** Only lines at or after this time (ms). */
  readonly since?: number | undefined
  /** Plain substring, case-sensitive. */
  readonly grep?: string | undefined
  /** The last n matching lines. */
  readonly limit: number
  readonly follow: boolean
}

/** Reads the log files that runners write. */
export interface LogReader {
  /** Lines in order of time, merged over instances; with `follow` it goes on until the signal aborts. */
  read(ref: AppRef, query: LogQuery, signal: AbortSignal): AsyncIterable<LogLine>
  /** The last lines of one instance, for diagnosis. */
  tail(ref: AppRef, instance: InstanceId, lines: number): Promise<readonly LogLine[]>
  /** Adds a line of the platform itself ('out of memory, limit 128 MiB') to an instance's log. */
  note(
    spec: Pick<InstanceSpec, 'id' | 'ref' | 'process' | 'release'>,
    text: string,
    now: number,
  ): Promise<void>
  /** Deletes log files of ended instances older than `olderThanMs` or beyond the app's size budget. Returns freed bytes. */
  collect(running: ReadonlySet<InstanceId>, olderThanMs: number): Promise<number>
  deleteApp(ref: AppRef): Promise<void>
}
