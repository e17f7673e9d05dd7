import type { LogQuery } from '../model/logs.ts'
import type { LogLine } from '../model/runner.ts'
import { readBackwards } from './backward-reader.ts'
import type { InstanceLog, LogFile } from './instance-log.ts'
import type { JoinedLine } from './line-joiner.ts'

/** A line may be a little newer than the modification time of its file: the kernel's clock for files is coarse. */
const CLOCK_SLACK_MS = 1000

/** The last `limit` matching lines over all instances, oldest first. Files are read from their ends and only as far as needed. */
export async function readHistory(
  logs: readonly InstanceLog[],
  query: Pick<LogQuery, 'since' | 'grep' | 'limit'>,
  signal: AbortSignal,
): Promise<readonly LogLine[]> {
  const sources = logs.flatMap((log) => [new Source(log, log.files), new Source(log, log.notes)])
  const found: LogLine[] = []
  while (found.length < query.limit && !signal.aborted) {
    const newest = newestOf(sources)
    if (newest === null) break
    const line = await newest.take()
    if (line === null) continue
    if (query.since !== undefined && line.time < query.since) {
      await newest.close()
      continue
    }
    if (matches(line, query)) found.push(line)
  }
  await Promise.all(sources.map((source) => source.close()))
  return found.reverse()
}

export function matches(line: LogLine, query: Pick<LogQuery, 'since' | 'grep'>): boolean {
  if (query.since !== undefined && line.time < query.since) return false
  return query.grep === undefined || line.text.includes(query.grep)
}

function newestOf(sources: readonly Source[]): Source | null {
  let best: Source | null = null
  for (const source of sources) {
    if (source.ended) continue
    if (best === null || source.newest > best.newest) best = source
  }
  return best
}

/** One instance's files backwards, with one line looked ahead; not opened before its newest possible line is due. */
class Source {
  readonly #log: InstanceLog
  readonly #lines: AsyncGenerator<JoinedLine>
  #next: JoinedLine | null = null
  /** Upper bound of the time of the next line. */
  newest: number
  ended: boolean

  constructor(log: InstanceLog, files: readonly LogFile[]) {
    this.#log = log
    this.#lines = readBackwards(files)
    this.newest = Math.max(...files.map(({ modifiedAt }) => modifiedAt), 0) + CLOCK_SLACK_MS
    this.ended = files.length === 0
  }

  /** The looked-ahead line; null where there was none yet or no more, and the caller should compare again. */
  async take(): Promise<LogLine | null> {
    const line = this.#next
    const result = await this.#lines.next()
    this.ended = result.done === true
    this.#next = result.done === true ? null : result.value
    // Times of one file never grow backwards, so that one wrong clock cannot hold up the rest.
    this.newest = Math.min(this.newest, this.#next?.time ?? this.newest)
    if (line === null) return null
    const { id, process, release } = this.#log
    return { ...line, instance: id, process, release }
  }

  async close(): Promise<void> {
    this.ended = true
    await this.#lines.return(undefined)
  }
}
