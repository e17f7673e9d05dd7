import { hash } from 'node:crypto'
import { refKey } from '../model/names.ts'
import { isRecord, listAt, recordAt, textAt, timeAt, type Json } from './json-value.ts'
import { FIELD_MANAGER } from './cluster-client.ts'
import { KINDS, type Kind } from './kinds.ts'
import { labelOf, LABELS, PLAN_ANNOTATION, refOf } from './labels.ts'
import type { Cached } from './watch-cache.ts'

/** What the engine remembers of an object in the cluster that carries its labels. */
export interface OwnedObject extends Cached {
  /** `app/environment`, '' where the labels do not say. */
  readonly app: string
  readonly process: string
  /** Name of the Job that it belongs to, '' for most. */
  readonly job: string
  /** Hash of the plan it was last applied from. */
  readonly plan: string
  /**
   * Changes when anybody takes a field over that we own: the server moves it out of our entry of `managedFields`. '' = we own nothing of it.
   * So drift is seen from the metadata alone, and a status that changes all the time is no drift.
   */
  readonly owned: string
  /** Somebody else wrote fields other than the status at or after our last write: what we own may have been changed. */
  readonly touched: boolean
  readonly deleting: boolean
}

export function ownedObject(object: Json): OwnedObject {
  const ref = refOf(object)
  return {
    namespace: textAt(object, 'metadata', 'namespace'),
    name: textAt(object, 'metadata', 'name'),
    uid: textAt(object, 'metadata', 'uid'),
    resourceVersion: textAt(object, 'metadata', 'resourceVersion'),
    app: ref === null ? '' : refKey(ref),
    process: labelOf(object, LABELS.process),
    job: labelOf(object, LABELS.job),
    plan: textAt(recordAt(object, 'metadata', 'annotations'), PLAN_ANNOTATION),
    owned: ownedFields(object),
    touched: isTouched(object),
    deleting: timeAt(object, 'metadata', 'deletionTimestamp') !== null,
  }
}

/** True where we applied this object once: its labels may have been taken off since. */
export function wasApplied(object: Json): boolean {
  return ownEntry(object) !== null
}

/**
 * Whether its app should be looked at: gone, changed by somebody, or, as what old objects may go depends on it, with another number of ready copies or
 * with a word of the Gateway.
 */
export function needsLook(
  kind: Kind,
  before: OwnedObject | null,
  now: OwnedObject | null,
): boolean {
  if (kind === KINDS.Deployment || kind === KINDS.StatefulSet || kind === KINDS.HTTPRoute)
    return true
  if (now === null || now.deleting) return true
  return before !== null && before.owned !== now.owned
}

// Private

function ownEntry(object: Json): Json | null {
  const found = listAt(object, 'metadata', 'managedFields').find(
    (entry) =>
      textAt(entry, 'manager') === FIELD_MANAGER &&
      textAt(entry, 'operation') === 'Apply' &&
      textAt(entry, 'subresource') === '',
  )
  return isRecord(found) ? found : null
}

function ownedFields(object: Json): string {
  const entry = ownEntry(object)
  if (entry === null) return ''
  return hash('sha1', JSON.stringify(entry['fieldsV1']), 'base64').slice(0, 12)
}

function isTouched(object: Json): boolean {
  const own = ownEntry(object)
  if (own === null) return true
  const at = timeAt(own, 'time') ?? 0
  return listAt(object, 'metadata', 'managedFields').some(
    (entry) =>
      entry !== own &&
      textAt(entry, 'subresource') !== 'status' &&
      // It only adds its own annotation with the number of the revision.
      textAt(entry, 'manager') !== 'kube-controller-manager' &&
      (timeAt(entry, 'time') ?? 0) >= at,
  )
}
