import type { ActualApp, DesiredApp, Workload, WorkloadStatus } from '../model/engine.ts'
import type { CrashHistory } from './crashes.ts'
import { releaseKey } from './plan.ts'
import { toInstance, type Tracked } from './tracked.ts'

/** Pure: how far the app is from what is desired. `diagnoses` holds what was gathered about failing releases, by `process@release`. */
export function actualApp(
  desired: DesiredApp,
  instances: readonly Tracked[],
  crashes: CrashHistory,
  diagnoses: ReadonlyMap<string, readonly string[]>,
): ActualApp {
  const candidates = new Set(
    desired.workloads.flatMap(({ process, tracks }) =>
      tracks
        .filter(({ name }) => name === 'candidate')
        .map(({ release }) => releaseKey(process, release)),
    ),
  )
  const services = instances.filter(({ spec }) => spec.kind === 'service')
  return {
    ref: desired.ref,
    instances: services.map((tracked) =>
      toInstance(
        tracked,
        candidates.has(releaseKey(tracked.spec.process, tracked.spec.release))
          ? 'candidate'
          : 'stable',
      ),
    ),
    workloads: desired.workloads.map((workload) =>
      workloadStatus(workload, services, crashes, diagnoses),
    ),
  }
}

function workloadStatus(
  workload: Workload,
  instances: readonly Tracked[],
  crashes: CrashHistory,
  diagnoses: ReadonlyMap<string, readonly string[]>,
): WorkloadStatus {
  const { process, tracks } = workload
  const release = tracks.find(({ name }) => name === 'stable')?.release ?? 0
  const desired = tracks.reduce((sum, { replicas }) => sum + replicas, 0)
  const mine = instances.filter(({ spec }) => spec.process === process)
  const releases = new Set(tracks.map((track) => track.release))
  const ready = mine.filter(
    ({ spec, phase }) => releases.has(spec.release) && phase === 'ready',
  ).length
  const outdated = mine.filter(({ spec }) => !releases.has(spec.release))
  const serving = outdated.filter(({ phase }) => phase !== 'stopping' && phase !== 'crashed')
  const surplus =
    mine.filter(({ spec, phase }) => releases.has(spec.release) && phase !== 'stopping').length -
    desired
  const key = releaseKey(process, release)
  const failing = ready < desired && crashes.isFailing(key)
  const phase = failing
    ? 'failing'
    : ready < desired
      ? 'progressing'
      : serving.length > 0 || surplus > 0
        ? 'routed'
        : 'converged'
  return {
    process,
    release,
    desired,
    ready,
    old: outdated.length,
    phase,
    diagnosis: diagnoses.get(key) ?? [],
  }
}
