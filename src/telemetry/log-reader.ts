import { appendFile, mkdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from '../lib/atomic-file.ts'
import type { Clock } from '../model/clock.ts'
import type { InstanceId } from '../model/instance.ts'
import type { LogQuery, LogReader } from '../model/logs.ts'
import type { AppRef } from '../model/names.ts'
import type { LogLine } from '../model/runner.ts'
import { formatCriLine } from './cri-line.ts'
import {
  describeId,
  listInstanceLogs,
  namesIn,
  type Described,
  type InstanceLog,
} from './instance-log.ts'
import { followLogs } from './log-follower.ts'
import { matches, readHistory } from './log-history.ts'

export interface LogReaderOptions {
  /** Log files are `<logDir>/<app>/<environment>/<instance id>.log`, as `model/runner.ts` describes. */
  readonly logDir: string
  readonly clock: Clock
  /** Who an instance is; default: what its id says, `<process>-<release>-<random>`. */
  readonly describe?: (ref: AppRef, instance: InstanceId) => Described | null
  /** Bytes that the logs of ended instances of one app in one environment may take. Default 256 MiB. */
  readonly appBudget?: number
}

export function createLogReader(options: LogReaderOptions): LogReader {
  return new FileLogReader(options)
}

class FileLogReader implements LogReader {
  readonly #logDir: string
  readonly #clock: Clock
  readonly #describe: (ref: AppRef, instance: InstanceId) => Described | null
  readonly #appBudget: number

  constructor({ logDir, clock, describe, appBudget = 256 * 2 ** 20 }: LogReaderOptions) {
    this.#logDir = logDir
    this.#clock = clock
    this.#describe = (ref, id) => describe?.(ref, id) ?? describeId(id)
    this.#appBudget = appBudget
  }

  async *read(ref: AppRef, query: LogQuery, signal: AbortSignal): AsyncGenerator<LogLine> {
    const list = async (): Promise<readonly InstanceLog[]> =>
      (await this.#list(ref)).filter(
        ({ id, process }) =>
          (query.instance === undefined || query.instance === id) &&
          (query.process === undefined || query.process === process),
      )
    const history = await list()
    yield* await readHistory(history, query, signal)
    if (!query.follow) return
    const following = followLogs(
      { folder: this.#folder(ref), history, list, clock: this.#clock },
      signal,
    )
    for await (const line of following) if (matches(line, query)) yield line
  }

  async tail(ref: AppRef, instance: InstanceId, lines: number): Promise<readonly LogLine[]> {
    const logs = (await this.#list(ref)).filter(({ id }) => id === instance)
    return readHistory(logs, { limit: lines }, new AbortController().signal)
  }

  /** Notes have a file of their own: two writers in one file would be in each other's way when it is rotated. */
  async note(spec: Parameters<LogReader['note']>[0], text: string, now: number): Promise<void> {
    const folder = this.#folder(spec.ref)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const line = formatCriLine(now, 'platform', text)
    await appendFile(join(folder, `${spec.id}.notes`), line, { mode: 0o600 })
  }

  async collect(running: ReadonlySet<InstanceId>, olderThanMs: number): Promise<number> {
    const before = this.#clock.now() - olderThanMs
    let freed = 0
    for (const app of await namesIn(this.#logDir)) {
      for (const environment of await namesIn(join(this.#logDir, app))) {
        const folder = join(this.#logDir, app, environment)
        freed += await this.#collectFolder(folder, running, before)
        await removeIfEmpty(folder)
      }
      await removeIfEmpty(join(this.#logDir, app))
    }
    return freed
  }

  async deleteApp(ref: AppRef): Promise<void> {
    await rm(this.#folder(ref), { recursive: true, force: true })
    await removeIfEmpty(join(this.#logDir, ref.app))
  }

  async #collectFolder(
    folder: string,
    running: ReadonlySet<InstanceId>,
    before: number,
  ): Promise<number> {
    const logs = await listInstanceLogs(folder, describeId)
    const ended = logs
      .filter(({ id }) => !running.has(id))
      .map(({ files, notes }) => {
        const all = [...files, ...notes]
        return {
          paths: all.map(({ path }) => path),
          size: all.reduce((sum, { size }) => sum + size, 0),
          endedAt: Math.max(...all.map(({ modifiedAt }) => modifiedAt)),
        }
      })
      .sort((a, b) => b.endedAt - a.endedAt)
    let kept = 0
    let freed = 0
    for (const { paths, size, endedAt } of ended) {
      kept += size
      if (endedAt >= before && kept <= this.#appBudget) continue
      for (const path of paths) await rm(path, { force: true })
      kept -= size
      freed += size
    }
    return freed
  }

  #list(ref: AppRef): Promise<readonly InstanceLog[]> {
    return listInstanceLogs(this.#folder(ref), (id) => this.#describe(ref, id))
  }

  #folder(ref: AppRef): string {
    return join(this.#logDir, ref.app, ref.environment)
  }
}

async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    if (!isMissing(error) && code !== 'ENOTEMPTY' && code !== 'ENOTDIR') throw error
  }
}
