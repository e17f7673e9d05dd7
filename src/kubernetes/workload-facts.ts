import { listAt, named, numberAt, textAt, timeAt, type Json } from './json-value.ts'
import { labelOf, LABELS } from './labels.ts'
import { ownedObject, type OwnedObject } from './owned-object.ts'

/** What the engine remembers of a Deployment or StatefulSet. */
export interface WorkloadFacts extends OwnedObject {
  readonly slot: string
  readonly release: number
  readonly replicas: number
  readonly available: number
  /** The cluster has seen the newest spec, and every copy is of it. */
  readonly settled: boolean
  /** Why copies cannot be made: a quota, a refusing webhook; '' = they can. */
  readonly refusal: string
  readonly refusedSince: number | null
}

export function workloadFacts(object: Json): WorkloadFacts {
  const generation = numberAt(object, 'metadata', 'generation') ?? 0
  const observed = numberAt(object, 'status', 'observedGeneration') ?? 0
  const replicas = numberAt(object, 'spec', 'replicas') ?? 1
  const updated = numberAt(object, 'status', 'updatedReplicas') ?? 0
  const existing = numberAt(object, 'status', 'replicas') ?? 0
  const refused = named(listAt(object, 'status', 'conditions'), 'type', 'ReplicaFailure')
  const isRefused = textAt(refused, 'status') === 'True'
  return {
    ...ownedObject(object),
    slot: labelOf(object, LABELS.slot),
    release: Number(labelOf(object, LABELS.release)),
    replicas,
    available: numberAt(object, 'status', 'availableReplicas') ?? 0,
    settled: observed >= generation && updated === replicas && existing === replicas,
    refusal: isRefused ? textAt(refused, 'message') : '',
    refusedSince: isRefused ? timeAt(refused, 'lastTransitionTime') : null,
  }
}
