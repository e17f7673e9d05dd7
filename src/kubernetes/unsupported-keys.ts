import type { AppSpec, ProcessSpec } from '../model/app-spec.ts'

/** Keys of the app file that a cluster cannot honour, as dotted paths. */
export function unsupportedKeys(spec: AppSpec): readonly string[] {
  return Object.values<ProcessSpec>(spec.processes).flatMap((process) => [
    ...(process.routes.length > 0 && process.type !== 'web'
      ? [`processes.${process.name}.routes`]
      : []),
    ...(process.maxAgeMs === null ? [] : [`processes.${process.name}.maxAge`]),
  ])
}
