import type { AppRef, ProcessName } from '../model/names.ts'
import { LABELS, namespaceOf } from './labels.ts'
import type { Labels } from './object.ts'
import type { Slot } from './slots.ts'

export interface Ownership {
  readonly ref: AppRef
  readonly owner: string
  readonly process?: ProcessName
  readonly release?: number
  readonly slot?: Slot
  readonly kind?: 'service' | 'job' | 'cron'
  readonly job?: string
}

/** The labels by which an object is found again, and by which people and their tools know what it is. */
export function ownershipLabels(of: Ownership): Labels {
  const { ref, owner, process, release, slot, kind, job } = of
  return {
    'app.kubernetes.io/name': ref.app,
    'app.kubernetes.io/instance': namespaceOf(ref),
    [LABELS.managedBy]: 'fairway',
    [LABELS.owner]: owner,
    [LABELS.app]: ref.app,
    [LABELS.environment]: ref.environment,
    ...(process === undefined
      ? {}
      : { 'app.kubernetes.io/component': process, [LABELS.process]: process }),
    ...(release === undefined
      ? {}
      : { 'app.kubernetes.io/version': String(release), [LABELS.release]: String(release) }),
    ...(slot === undefined ? {} : { [LABELS.slot]: slot }),
    ...(kind === undefined ? {} : { [LABELS.kind]: kind }),
    ...(job === undefined ? {} : { [LABELS.job]: job }),
  }
}

/** Selects the copies of a process, in one slot or in both, and no job of it. Selectors of Deployments can never change: nothing of a release is in it. */
export function copiesSelector(process: ProcessName, slot: Slot | null): Labels {
  return {
    [LABELS.process]: process,
    [LABELS.kind]: 'service',
    ...(slot === null ? {} : { [LABELS.slot]: slot }),
  }
}
