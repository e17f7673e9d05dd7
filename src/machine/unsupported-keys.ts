import { PROCESS_DEFAULTS, type AppSpec, type ProcessSpec } from '../model/app-spec.ts'

/**
 * Keys of the app file that one machine cannot honour, as dotted paths. What it does trivially is fine: a spread over no nodes, no spot nodes.
 * Strategies with two tracks are fine too: their weights reach the engine as tracks.
 */
export function unsupportedKeys(spec: AppSpec): readonly string[] {
  const processes = Object.values<ProcessSpec>(spec.processes)
  const volumes = processes.flatMap((process) => process.volumes.map(({ name }) => name))
  return [
    ...(spec.target === null ? [] : ['target']),
    ...[...new Set(volumes)].map((name) => `volumes.${name}`),
    ...(processes.some(({ callers }) => callers !== null) ? ['mesh.allow'] : []),
    ...processes.flatMap((process) =>
      processKeys(process).map((key) => `processes.${process.name}.${key}`),
    ),
  ]
}

function processKeys(process: ProcessSpec): readonly string[] {
  const asked: readonly (readonly [string, boolean])[] = [
    ['routes', process.routes.length > 0 && process.type !== 'web'],
    ['schedule', process.schedule !== null],
    ['health.live', process.health.live !== null],
    ['scale.on', process.autoscale !== null],
    ['peers', process.peers],
    ['spread', process.spread !== PROCESS_DEFAULTS.spread],
    ['disruption', process.disruption !== PROCESS_DEFAULTS.disruption],
    ['spot', process.spot !== PROCESS_DEFAULTS.spot],
  ]
  return asked.flatMap(([key, wanted]) => (wanted ? [key] : []))
}
