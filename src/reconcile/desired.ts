import type { ProcessSpec } from '../model/app-spec.ts'
import type { DesiredApp, Track } from '../model/engine.ts'
import type { Release } from '../model/release.ts'
import type { SecretPlan } from '../model/secrets.ts'
import type { AppRecord } from '../model/store.ts'

type Scaled = Pick<AppRecord, 'scale'>

/** Two releases of an app that run at once. */
export interface Pair {
  readonly stable: Release
  readonly candidate: Release
}

/** Pure: what the engine should make true for a release under the record's configuration and replica overrides. */
export function desiredApp(release: Release, record: Scaled): DesiredApp {
  return {
    ref: release.ref,
    target: release.spec.target,
    workloads: Object.values(release.spec.processes).map((process) => ({
      process: process.name,
      spec: process,
      tracks: [trackOf('stable', release, process, record)],
    })),
  }
}

/**
 * Pure: while a new release proves itself beside the one that serves. `share` is its part of the traffic in percent. Only processes whose strategy says so run
 * twice; all others are already those of the new release, rolled as ever.
 */
export function desiredDuring(pair: Pair, share: number, record: Scaled): DesiredApp {
  const { stable, candidate } = pair
  const desired = desiredApp(candidate, record)
  return {
    ...desired,
    workloads: desired.workloads.map((workload) => {
      const before = processOf(stable, workload.process)
      if (before === null || !isSplit(workload.spec)) return workload
      const old = trackOf('stable', stable, before, record)
      const fresh = trackOf('candidate', candidate, workload.spec, record)
      const replicas = candidateReplicas(workload.spec, fresh.replicas, share)
      // Blue or green: everything or nothing, while a canary beside it goes its steps.
      const weight = workload.spec.canary === null && share < 100 ? 0 : share
      return {
        ...workload,
        tracks: [
          { ...old, weight: 100 - weight },
          { ...fresh, replicas, weight },
        ],
      }
    }),
  }
}

/** Pure: after a bluegreen switch, with the release before it ready for an instant way back and without traffic. */
export function desiredKeeping(active: Release, kept: Release, record: Scaled): DesiredApp {
  const desired = desiredApp(active, record)
  return {
    ...desired,
    workloads: desired.workloads.map((workload) => {
      const before = processOf(kept, workload.process)
      if (before === null || workload.spec.strategy !== 'bluegreen') return workload
      const warm = trackOf('candidate', kept, before, record)
      return { ...workload, tracks: [...workload.tracks, { ...warm, weight: 0 }] }
    }),
  }
}

/** Whether any process of the pair runs in both releases for a while. */
export function runsTwice({ stable, candidate }: Pair): boolean {
  return Object.values(candidate.spec.processes).some(
    (process) => isSplit(process) && processOf(stable, process.name) !== null,
  )
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

/** What a process of a release needs to be given its values; null where it has none. A variable that is set in clear, nearer to the process or by a person, is that one. */
export function secretPlan(
  release: Pick<Release, 'spec' | 'config' | 'secrets'>,
  spec: Pick<ProcessSpec, 'env' | 'envFrom'>,
): SecretPlan | null {
  const outer = Object.entries(release.spec.envFrom ?? {}).filter(([name]) => !(name in spec.env))
  const all = { ...Object.fromEntries(outer), ...spec.envFrom }
  const env = Object.fromEntries(Object.entries(all).filter(([name]) => !(name in release.config)))
  const documents = release.secrets ?? []
  const { files } = release.spec
  if (documents.length === 0 && Object.keys(env).length === 0 && files === undefined) return null
  return { documents, env, ...(files === undefined ? {} : { files }) }
}

/** What a person has set with `fairway env set`; everything else stands in the app file. */
export function secretEnv(release: Release): readonly string[] {
  return Object.keys(release.config).sort()
}

// Private

function trackOf(
  name: Track['name'],
  release: Release,
  process: ProcessSpec,
  record: Scaled,
): Track {
  return {
    name,
    release: release.number,
    spec: process,
    image: release.image,
    env: processEnv(release, process),
    secretEnv: secretEnv(release),
    ...planned(secretPlan(release, process)),
    replicas: record.scale[process.name] ?? process.scale.min,
    weight: 100,
  }
}

export function planned(plan: SecretPlan | null): { readonly secrets?: SecretPlan } {
  return plan === null ? {} : { secrets: plan }
}

function isSplit({ type, strategy }: ProcessSpec): boolean {
  return type === 'web' && (strategy === 'bluegreen' || strategy === 'canary')
}

/** A canary runs as many copies as its share of the traffic needs, at least one; a blue or green side all of them. */
function candidateReplicas(spec: ProcessSpec, all: number, share: number): number {
  if (spec.canary === null || all === 0) return all
  const least = Math.max(share, spec.canary.steps[0] ?? 100)
  return Math.max(1, Math.ceil((all * least) / 100))
}

function processOf(release: Release, name: string): ProcessSpec | null {
  return Object.values(release.spec.processes).find((process) => process.name === name) ?? null
}
