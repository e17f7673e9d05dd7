import type { AppSpec, ProcessSpec } from '../model/app-spec.ts'

/** The platform's own number of processes per copy; a cluster's nodes have one for all pods. */
const DEFAULT_PIDS = 512

/**
 * Keys of the app file that a cluster cannot honour, as dotted paths.
 * @param target.isMeasured something says what the releases serve there, by which a canary can be judged
 */
export function unsupportedKeys(
  spec: AppSpec,
  { isMeasured }: { readonly isMeasured: boolean },
): readonly string[] {
  const keys = Object.values<ProcessSpec>(spec.processes).flatMap((process) => {
    const asked: readonly (readonly [string, boolean])[] = [
      ['routes', process.routes.length > 0 && process.type !== 'web'],
      // A cluster sends what the image says; whether it may be told otherwise depends on its version and its nodes.
      ['shutdown.signal', process.shutdown.signal !== 'SIGTERM'],
      ['resources.pids', process.resources.pids !== DEFAULT_PIDS],
      ['maxAge', process.maxAgeMs !== null],
      ['deploy.analysis', process.canary?.analysis != null && !isMeasured],
    ]
    return asked.flatMap(([key, wanted]) => (wanted ? [`processes.${process.name}.${key}`] : []))
  })
  // Nothing of ours is in a pod once its app has begun: another value is another pod.
  const live = Object.entries(spec.files ?? {}).filter(
    ([, { onChange = 'restart' }]) => onChange !== 'restart',
  )
  return [...live.map(([name]) => `files.${name}.onChange`), ...keys]
}
