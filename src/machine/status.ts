import type {
  ActualApp,
  DesiredApp,
  Track,
  TrackStatus,
  Workload,
  WorkloadStatus,
} from '../model/engine.ts'
import type { CrashHistory } from './crashes.ts'
import { releaseKey } from './plan.ts'
import { toInstance, type Tracked } from './tracked.ts'

export interface Known {
  readonly crashes: CrashHistory
  /** What was gathered about failing releases, by `process@release`. */
  readonly diagnoses: ReadonlyMap<string, readonly string[]>
  /** What is wrong with the values of a release that runs all the same, by `process@release`; null = nothing. */
  readonly trouble: (key: string) => string | null
  /** The router has the shares of traffic that are desired. */
  readonly served: boolean
}

/** Pure: how far the app is from what is desired. */
export function actualApp(
  desired: DesiredApp,
  instances: readonly Tracked[],
  known: Known,
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
        known.trouble(releaseKey(tracked.spec.process, tracked.spec.release)),
      ),
    ),
    workloads: desired.workloads.map((workload) => workloadStatus(workload, services, known)),
  }
}

function workloadStatus(
  workload: Workload,
  instances: readonly Tracked[],
  known: Known,
): WorkloadStatus {
  const { process } = workload
  const mine = instances.filter(({ spec }) => spec.process === process)
  const tracks = workload.tracks.map((track) => trackStatus(track, mine))
  const sum = (count: (track: TrackStatus) => number): number =>
    tracks.reduce((total, track) => total + count(track), 0)
  const releases = new Set(tracks.map(({ release }) => release))
  const outdated = mine.filter(({ spec }) => !releases.has(spec.release))
  const failing = tracks.filter(
    ({ release, ready, desired }) =>
      ready < desired && known.crashes.isFailing(releaseKey(process, release)),
  )
  return {
    process,
    release: tracks.find(({ name }) => name === 'stable')?.release ?? 0,
    desired: sum(({ desired }) => desired),
    ready: sum(({ ready }) => ready),
    old: outdated.length,
    tracks,
    phase: failing.length > 0 ? 'failing' : phaseOf(tracks, mine, known.served),
    diagnosis: tracks.flatMap(
      ({ release }) => known.diagnoses.get(releaseKey(process, release)) ?? [],
    ),
  }
}

function trackStatus(track: Track, mine: readonly Tracked[]): TrackStatus {
  const { name, release, replicas } = track
  const ready = mine.filter(({ spec, phase }) => spec.release === release && phase === 'ready')
  return { name, release, desired: replicas, ready: ready.length }
}

function phaseOf(
  tracks: readonly TrackStatus[],
  mine: readonly Tracked[],
  served: boolean,
): WorkloadStatus['phase'] {
  if (tracks.some(({ ready, desired }) => ready < desired)) return 'progressing'
  // With one track all traffic goes there anyway; the share of two is true only when the router has it.
  if (tracks.length > 1 && !served) return 'progressing'
  const releases = new Set(tracks.map(({ release }) => release))
  const wanted = mine.filter(({ spec }) => releases.has(spec.release))
  const serving = mine.filter(
    ({ spec, phase }) => !releases.has(spec.release) && phase !== 'stopping' && phase !== 'crashed',
  )
  const running = wanted.filter(({ phase }) => phase !== 'stopping').length
  const surplus = running - tracks.reduce((sum, { desired }) => sum + desired, 0)
  return serving.length > 0 || surplus > 0 ? 'routed' : 'converged'
}
