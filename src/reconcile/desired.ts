import type { DesiredApp } from '../model/engine.ts'
import type { Release } from '../model/release.ts'
import type { AppRecord } from '../model/store.ts'

/** Pure: what the engine should make true for a release under the record's configuration and replica overrides. */
export function desiredApp(release: Release, record: Pick<AppRecord, 'scale'>): DesiredApp {
  return {
    ref: release.ref,
    workloads: Object.values(release.spec.processes).map((process) => ({
      process: process.name,
      spec: process,
      tracks: [
        {
          name: 'stable',
          release: release.number,
          image: release.image,
          env: releaseEnv(release),
          replicas: record.scale[process.name] ?? process.scale.min,
          weight: 100,
        },
      ],
    })),
  }
}

/** The app file's env, the values of `fairway env set` over it, and who it is. PORT is the runner's to set. */
export function releaseEnv(release: Release): Readonly<Record<string, string>> {
  return {
    ...release.spec.env,
    ...release.config,
    FAIRWAY_APP: release.ref.app,
    FAIRWAY_ENVIRONMENT: release.ref.environment,
    FAIRWAY_RELEASE: String(release.number),
  }
}
