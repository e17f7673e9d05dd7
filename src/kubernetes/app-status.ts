import type {
  ActualApp,
  DesiredApp,
  Track,
  TrackStatus,
  Workload,
  WorkloadStatus,
} from '../model/engine.ts'
import type { FairwayError } from '../model/errors.ts'
import type { AppRef } from '../model/names.ts'
import { textAt } from './json-value.ts'
import { releaseKey } from './ref-key.ts'
import type { PodFacts } from './pod-facts.ts'
import { routeState, type RouteFacts, type RouteState } from './route-facts.ts'
import { podState, toInstance, type PodState } from './pod-state.ts'
import type { WorkloadFacts } from './workload-facts.ts'

/** What the engine was told of an app, and what stands in the way. */
export interface AppState {
  readonly ref: AppRef
  desired: DesiredApp | null
  problem: AppProblem | null
  /** Keys of objects that a person wants taken over. */
  adopt: ReadonlySet<string>
}

/** Why the cluster is not as it should be, apart from what its pods say. */
export interface AppProblem {
  readonly error: FairwayError
  /** Trying on will not help, as far as one can tell. */
  readonly lasting: boolean
}

export interface Observation {
  readonly pods: readonly PodFacts[]
  readonly workloads: readonly WorkloadFacts[]
  readonly routes?: readonly RouteFacts[]
  /** Everything that is planned has been applied. */
  readonly applied: boolean
  readonly problem: AppProblem | null
  /** The cluster does not answer: all of this is what was seen last. */
  readonly unreachable: FairwayError | null
  /** By `process@release`. */
  readonly diagnoses: ReadonlyMap<string, readonly string[]>
  readonly answerOf: (pod: PodFacts) => string | null
  readonly comingNode?: (pod: PodFacts) => string | null
  readonly everReady: (pod: PodFacts) => boolean
  /** Why values of a copy are not looked after. */
  readonly trouble?: (pod: PodFacts) => string | null
  readonly now: number
  /** When the engine began to look. */
  readonly since?: number
}

/** A quota or a webhook may let the next copy pass. */
const REFUSAL_PATIENCE_MS = 5_000
/** For releases that nobody asks for any more. */
const DEFAULT_START_MS = 60_000

interface Seen {
  readonly pod: PodFacts
  readonly state: PodState
}

/** Pure: how far the app is from what is desired. `desired` null = nothing of it should be there. */
export function actualApp(ref: AppRef, desired: DesiredApp | null, seen: Observation): ActualApp {
  const pods = seen.pods
    .filter(({ kind }) => kind === 'service')
    .map((pod) => ({ pod, state: stateOf(pod, desired, seen) }))
  return {
    ref,
    instances: pods
      .filter(({ pod }) => pod.phase !== 'Succeeded')
      .map(({ pod, state }) => {
        const reason = state.reason === '' ? (seen.trouble?.(pod) ?? '') : state.reason
        return toInstance(pod, { ...state, reason }, ref, trackOf(pod, desired))
      }),
    workloads: (desired?.workloads ?? []).map((workload) => workloadStatus(workload, pods, seen)),
  }
}

// Private

function stateOf(pod: PodFacts, desired: DesiredApp | null, seen: Observation): PodState {
  const workload = desired?.workloads.find(({ process }) => process === pod.process)
  const track = workload?.tracks.find(({ release }) => release === pod.release)
  const startMs = track?.spec.health.startMs ?? DEFAULT_START_MS
  const { now, since = 0 } = seen
  const [answer, everReady] = [seen.answerOf(pod), seen.everReady(pod)]
  const comingNode = seen.comingNode?.(pod) ?? null
  return podState(pod, { now, since, startMs, answer, everReady, comingNode })
}

function trackOf(pod: PodFacts, desired: DesiredApp | null): Track['name'] {
  const workload = desired?.workloads.find(({ process }) => process === pod.process)
  return workload?.tracks.find(({ release }) => release === pod.release)?.name ?? 'stable'
}

function workloadStatus(
  workload: Workload,
  pods: readonly Seen[],
  seen: Observation,
): WorkloadStatus {
  const { process } = workload
  const mine = pods.filter(({ pod }) => pod.process === process)
  const objects = seen.workloads.filter((object) => object.process === process)
  const tracks = workload.tracks.map((track) => trackStatus(workload, track, mine, objects))
  const sum = (count: (track: TrackStatus) => number): number =>
    tracks.reduce((total, track) => total + count(track), 0)
  const releases = new Set(tracks.map(({ release }) => release))
  const old = mine.filter(({ pod }) => !releases.has(pod.release))
  const failing = failingReleases(tracks, mine, objects, seen)
  const problem = problemOf(process, seen)
  const routes = routesOf(process, seen)
  const [stuck, warned] = [routes.filter(({ failing }) => failing), routes.filter(isWarning)]
  return {
    process,
    release: tracks.find(({ name }) => name === 'stable')?.release ?? 0,
    desired: sum(({ desired }) => desired),
    ready: sum(({ ready }) => ready),
    old: old.length,
    tracks,
    phase:
      failing.length > 0 || stuck.length > 0 || problem?.lasting === true
        ? 'failing'
        : phaseOf(workload, tracks, { mine, old, objects, routes, seen }),
    diagnosis: [
      ...(seen.unreachable === null ? [] : [seen.unreachable.message]),
      ...(problem === null ? [] : [problem.error.message, problem.error.hint]),
      ...troublesOf(stuck),
      ...failing.flatMap((release) => seen.diagnoses.get(releaseKey(process, release)) ?? []),
    ],
    ...(warned.length === 0 ? {} : { warnings: troublesOf(warned) }),
  }
}

function trackStatus(
  { spec }: Workload,
  { name, release, replicas }: Track,
  mine: readonly Seen[],
  objects: readonly WorkloadFacts[],
): TrackStatus {
  const ready = mine.filter(({ pod, state }) => pod.release === release && state.state === 'ready')
  // Where the number follows the load, what the cluster asks for is what is wanted.
  const asked = objects.find((object) => object.release === release)?.replicas ?? replicas
  const desired = spec.type === 'cron' ? 0 : spec.autoscale === null ? replicas : asked
  return { name, release, desired, ready: ready.length }
}

function failingReleases(
  tracks: readonly TrackStatus[],
  mine: readonly Seen[],
  objects: readonly WorkloadFacts[],
  seen: Observation,
): readonly number[] {
  return tracks
    .filter(({ ready, desired }) => ready < desired)
    .map(({ release }) => release)
    .filter(
      (release) =>
        mine.some(({ pod, state }) => pod.release === release && !pod.deleting && state.hopeless) ||
        objects.some(
          ({ refusal, refusedSince, ...object }) =>
            object.release === release &&
            refusal !== '' &&
            seen.now - (refusedSince ?? 0) > REFUSAL_PATIENCE_MS,
        ),
    )
}

function phaseOf(
  { spec }: Workload,
  tracks: readonly TrackStatus[],
  has: {
    readonly mine: readonly Seen[]
    readonly old: readonly Seen[]
    readonly objects: readonly WorkloadFacts[]
    readonly routes: readonly RouteState[]
    readonly seen: Observation
  },
): WorkloadStatus['phase'] {
  const { mine, old, objects, routes, seen } = has
  if (!seen.applied) return 'progressing'
  if (spec.type === 'cron') return 'converged'
  if (tracks.some(({ ready, desired }) => ready < desired)) return 'progressing'
  const releases = new Set(tracks.map(({ release }) => release))
  const wanted = objects.filter(({ release }) => releases.has(release))
  // Ready is not yet proven: the cluster counts a copy only after it was ready for a while.
  if (wanted.some(({ available, replicas }) => available < replicas)) return 'progressing'
  // Written is not split: the share is true only when the Gateway has it.
  if (routes.some(({ holds }) => holds)) return 'progressing'
  const serving = old.filter(({ state }) => state.state !== 'stopping' && state.state !== 'crashed')
  const running = mine.filter(({ pod }) => releases.has(pod.release) && !pod.deleting).length
  const surplus = running - tracks.reduce((sum, { desired }) => sum + desired, 0)
  const settled = wanted.every((object) => object.settled)
  return serving.length > 0 || surplus > 0 || !settled ? 'routed' : 'converged'
}

function routesOf(process: string, { routes = [], now }: Observation): readonly RouteState[] {
  return routes
    .filter((route) => route.process === process && !route.deleting)
    .map((route) => routeState(route, now))
}

function isWarning({ failing, trouble }: RouteState): boolean {
  return trouble !== null && !failing
}

function troublesOf(routes: readonly RouteState[]): readonly string[] {
  return routes.flatMap(({ trouble }) => (trouble === null ? [] : [trouble]))
}

/** A problem with the objects of one process is that process's alone. */
function problemOf(process: string, { problem }: Observation): AppProblem | null {
  if (problem === null) return null
  const whose = textAt(problem.error.details, 'process')
  return whose === '' || whose === process ? problem : null
}
