import type { DesiredApp, Workload } from '../model/engine.ts'
import type { AppRef } from '../model/names.ts'
import type { ClusterFacts } from './cluster-facts.ts'
import { namespaceOf } from './labels.ts'
import { slotsOf } from './plan-app.ts'
import { KEEPER_MEMORY } from './plan-identity.ts'
import type { PlanSettings } from './plan-settings.ts'
import { graceSeconds } from './pod-template.ts'
import { servingSlot } from './plan-network.ts'

/** What people should know of a plan: where the cluster lacks something, and what is done instead. One line each. */
export function planNotes(desired: DesiredApp, settings: PlanSettings): readonly string[] {
  const { facts } = settings
  return [...desired.workloads]
    .sort((a, b) => (a.process < b.process ? -1 : 1))
    .flatMap((workload) =>
      [
        routeNote(workload, facts),
        shareNote(workload, settings),
        scalerNote(workload, facts),
        volumeNote(workload, facts),
        userNote(workload),
        spotNote(workload),
        variablesNote(workload, desired.ref),
        identityNote(workload),
      ].flatMap((note) => (note === null ? [] : [`${workload.process}: ${note}`])),
    )
}

/**
 * Share of the traffic, in percent, that a candidate really gets; it differs from its weight where no Gateway splits requests: then each ready copy
 * gets the same. Null where there is no candidate.
 */
export function achievedShare(workload: Workload, settings: PlanSettings): number | null {
  const slotted = slotsOf(workload, settings)
  const candidate = slotted.find(({ track }) => track.name === 'candidate')
  if (candidate === undefined) return null
  const split = settings.facts.gateway !== null && workload.spec.routes.length > 0
  if (split || servingSlot(slotted) !== null) return candidate.track.weight
  const all = slotted.reduce((sum, { track }) => sum + track.replicas, 0)
  return all === 0 ? 0 : Math.round((candidate.track.replicas * 1000) / all) / 10
}

// Private

/** Shortest notice that a cloud gives before it takes a node (AWS: two minutes), less what it takes to hear of it. */
const SPOT_NOTICE_SECONDS = 110

function routeNote({ spec }: Workload, { gateway, ingressClass }: ClusterFacts): string | null {
  if (spec.routes.length === 0 || gateway !== null || ingressClass !== null) return null
  return 'the cluster has neither a Gateway nor an Ingress class: its routes are reached from inside only'
}

function shareNote(workload: Workload, settings: PlanSettings): string | null {
  const share = achievedShare(workload, settings)
  const candidate = workload.tracks.find(({ name }) => name === 'candidate')
  if (share === null || candidate === undefined || share === candidate.weight) return null
  return `the candidate gets ${String(share)}% of the requests instead of ${String(candidate.weight)}%: without a Gateway each copy gets the same`
}

function scalerNote({ spec }: Workload, { metrics }: ClusterFacts): string | null {
  if (spec.autoscale === null || metrics) return null
  return 'the cluster has no metrics: scale.on has nothing to follow, scale.min instances run'
}

function volumeNote({ spec }: Workload, { defaultStorageClass }: ClusterFacts): string | null {
  if (spec.volumes.length === 0 || defaultStorageClass !== null) return null
  return 'the cluster has no default StorageClass: instances wait until its volumes are there'
}

/** The one kind of value that lies in the cluster's store, as a variable cannot come from anywhere else. */
function variablesNote({ tracks }: Workload, ref: AppRef): string | null {
  const names = [...new Set(tracks.flatMap(({ secrets }) => Object.keys(secrets?.env ?? {})))]
  if (names.length === 0) return null
  const whose = names.length === 1 ? 'its value' : 'their values'
  return `${names.sort().join(', ')} from secrets as ${names.length === 1 ? 'a variable' : 'variables'}: ${whose} will stand in the cluster’s own store, in a Secret of the namespace ${namespaceOf(ref)}, for everybody who may read Secrets there; files in FAIRWAY_SECRETS do not`
}

function identityNote({ spec }: Workload): string | null {
  if (!spec.identity) return null
  return `identity: a helper beside each instance sees to it, and asks for ${KEEPER_MEMORY}B of memory more`
}

/** Only the image itself could say which number a name stands for. */
function userNote({ tracks }: Workload): string | null {
  const named = tracks.find(({ image }) => !/^(?:\d+(?::.*)?|root(?::.*)?)?$/.test(image.user))
  if (named === undefined) return null
  return `the image's user ${named.image.user} is a name, which a cluster cannot check: it runs as 65532`
}

function spotNote({ spec, tracks }: Workload): string | null {
  if (spec.spot !== 'allow') return null
  if (graceSeconds(spec) > SPOT_NOTICE_SECONDS)
    return `spot nodes vanish ${String(SPOT_NOTICE_SECONDS)} seconds after they say so, this process may take ${String(graceSeconds(spec))} to end`
  return tracks.some(({ replicas }) => replicas > 1)
    ? null
    : 'its only instance may run on a node that vanishes'
}
