import { FairwayError } from '../model/errors.ts'
import type { AppDocument, Path } from './document.ts'
import { isJsonObject, type Json } from './merge-patch.ts'
import { locator, type Locator } from './validate.ts'

/** A key that the format has and that no engine honours yet. */
export interface LaterKey {
  readonly path: string
  readonly line: number
  readonly column: number
  /** 'dependencies that the platform runs'. */
  readonly why: string
}

/** Patterns of dotted paths; `*` is one name. Deeper keys fall under the first that matches. */
const LATER: readonly (readonly [string, string])[] = [
  ['addons', 'dependencies that the platform runs'],
  ['mesh.mtls', 'encrypted calls between processes'],
  ['mesh.calls', 'policy of calls between processes'],
  ['gate', 'checks before a rollout'],
  ['region', 'placing an environment'],
  ['previews', 'environments per branch'],
  ['build.dockerfile', 'building with a Dockerfile'],
  ['build.target', 'building with a Dockerfile'],
  ['build.args', 'building with a Dockerfile'],
  ['build.watch', 'building only on changes'],
  ['processes.*.build', 'several builds in one app'],
  ['processes.*.resources.startup', 'other limits while starting'],
  ['processes.*.scale.on.concurrency', 'scaling by requests in flight'],
  ['processes.*.scale.on.queue', 'scaling by a queue'],
  ['processes.*.scale.zero', 'scaling to zero'],
  ['processes.*.scale.windows', 'scaling by time of day'],
  ['processes.*.warmup', 'warming up'],
  ['processes.*.sidecars', 'sidecars'],
  ['processes.*.singleton', 'singletons'],
]

/** Keys of the merged file that belong to later work, in the order of their positions. */
export function findLaterKeys(
  data: Json,
  document: AppDocument,
  environment: string | null,
): readonly LaterKey[] {
  const locate = locator(document, environment)
  return LATER.flatMap(([pattern, why]) =>
    matches(data, pattern.split('.'), []).map((path) => toLaterKey(path, why, locate)),
  ).sort((a, b) => a.line - b.line || a.column - b.column)
}

/** Whether a path of the reference, where `<name>` stands for any name, is such a key for every value. */
export function isLaterKey(path: readonly string[]): boolean {
  return LATER.some(([pattern]) => {
    const parts = pattern.split('.')
    return (
      path.length >= parts.length &&
      parts.every((part, i) => part === path[i] || (part === '*' && path[i] === '<name>'))
    )
  })
}

/** @throws FairwayError UNSUPPORTED_KEY naming every key, its position and the engine */
export function refuseLaterKeys(keys: readonly LaterKey[], file: string, engine: string): void {
  if (keys.length === 0) return
  throw new FairwayError(
    'UNSUPPORTED_KEY',
    keys
      .map(
        ({ path, line, column, why }) =>
          `${file}:${line}:${column}: the ${engine} engine does not honour \`${path}\` yet (${why})`,
      )
      .join('\n'),
    { details: { file, engine, keys } },
  )
}

function toLaterKey(path: Path, why: string, locate: Locator): LaterKey {
  const { line, column } = locate(path, 'key')
  return { path: path.join('.'), line, column, why }
}

function matches(data: Json, pattern: readonly string[], above: Path): readonly Path[] {
  const [head, ...rest] = pattern
  if (head === undefined) return data === null ? [] : [above]
  if (!isJsonObject(data)) return []
  const names = head === '*' ? Object.keys(data) : [head]
  return names.flatMap((name) => {
    const value = data[name]
    return value === undefined ? [] : matches(value, rest, [...above, name])
  })
}
