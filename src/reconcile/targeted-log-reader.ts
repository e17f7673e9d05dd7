import type { LogQuery, LogReader } from '../model/logs.ts'
import type { AppRef, TargetName } from '../model/names.ts'
import type { LogLine } from '../model/runner.ts'
import type { ConnectedClusters } from './connected-clusters.ts'

export interface TargetedLogReaderOptions {
  readonly machine: LogReader
  readonly clusters: ConnectedClusters
  /** Target of the release that serves an app; undefined = nothing serves. */
  readonly targetOf: (ref: AppRef) => Promise<TargetName | null | undefined>
}

/** Reads an app's lines where it runs: this machine's files, or the cluster. What keeps files keeps them here. */
export function targetedLogReader(options: TargetedLogReaderOptions): LogReader {
  const { machine, clusters, targetOf } = options
  const readerOf = async (ref: AppRef): Promise<LogReader> => {
    const target = (await targetOf(ref)) ?? null
    return target === null ? machine : (await clusters.connected(target)).logs
  }
  return {
    read: (ref, query, signal) => readLater(readerOf(ref), ref, query, signal),
    tail: async (ref, instance, lines) => (await readerOf(ref)).tail(ref, instance, lines),
    note: (spec, text, now) => machine.note(spec, text, now),
    collect: (running, olderThanMs) => machine.collect(running, olderThanMs),
    deleteApp: (ref) => machine.deleteApp(ref),
  }
}

async function* readLater(
  reader: Promise<LogReader>,
  ref: AppRef,
  query: LogQuery,
  signal: AbortSignal,
): AsyncIterable<LogLine> {
  yield* (await reader).read(ref, query, signal)
}
