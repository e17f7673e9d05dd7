import type { ProcessSpec } from '../model/app-spec.ts'
import type { DesiredApp } from '../model/engine.ts'
import type { Release } from '../model/release.ts'
import type { AppRecord } from '../model/store.ts'

/** Pure: what the engine should make true for a release under the record's configuration and replica overrides. */
export function desiredApp(release: Release, record: Pick<AppRecord, 'scale'>): DesiredApp {
  return {
    ref: release.ref,
    target: release.spec.target,
    workloads: Object.values(release.spec.processes).map((process) => ({
      process: process.name,
      spec: process,
      tracks: [
        {
          name: 'stable',
          release: release.number,
          image: release.image,
          env: processEnv(release, process),
          replicas: record.scale[process.name] ?? process.scale.min,
          weight: 100,
        },
      ],
    })),
  }
}

/**
 * What a process of a release finds in its environment: the app file's values, those of the process over them, and over both what a person has set with
 * `fairway env set`. PORT is the runner's to set.
 */
export function processEnv(
  release: Release,
  spec: Pick<ProcessSpec, 'env'>,
): Readonly<Record<string, string>> {
  return {
    ...release.spec.env,
    ...spec.env,
    ...release.config,
    FAIRWAY_APP: release.ref.app,
    FAIRWAY_ENVIRONMENT: release.ref.environment,
    FAIRWAY_RELEASE: String(release.number),
  }
}
