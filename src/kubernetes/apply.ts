import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { ClusterClient, ObjectName } from './cluster-client.ts'
import type { FieldConflict } from './cluster-error.ts'
import { isRecord, listAt, textAt, type Json } from './json-value.ts'
import { kindOf, type Kind } from './kinds.ts'
import { labelOf, LABELS, namespaceOf, PLAN_ANNOTATION } from './labels.ts'
import { FILES_OWNER } from './manifest-files.ts'
import { objectKey, type KubeObject } from './object.ts'
import { wasApplied, type OwnedObject } from './owned-object.ts'
import type { OwnedObjects } from './owned-objects.ts'
import { HANDOVER_MANAGER, handOverReplicas } from './scaler-handover.ts'

export interface ApplierOptions {
  readonly client: ClusterClient
  readonly objects: OwnedObjects
  readonly owner: string
  /** Requests at once for one app. */
  readonly width?: number
}

/** What has to be remembered of a planned object to see whether it is applied. */
export interface Outline {
  readonly key: string
  /** Its hash. */
  readonly plan: string
  readonly name: ObjectName
}

export interface ApplyResult {
  readonly applied: number
}

/** Kinds in the order in which they are applied; equal numbers go together. What routes to pods comes last. */
const RANKS: Readonly<Record<string, number>> = {
  Namespace: 0,
  ServiceAccount: 1,
  Secret: 1,
  ConfigMap: 1,
  PersistentVolumeClaim: 1,
  Role: 1,
  ClusterRole: 1,
  RoleBinding: 2,
  ClusterRoleBinding: 2,
  NetworkPolicy: 2,
  PodDisruptionBudget: 2,
  Service: 2,
  Deployment: 3,
  StatefulSet: 3,
  CronJob: 3,
  HorizontalPodAutoscaler: 4,
  Ingress: 5,
  HTTPRoute: 5,
}
const LAST_RANK = 6

/**
 * Brings the objects of one app to what is planned, by server-side apply as field manager `fairway`. Writes only what differs from what was applied last or was
 * changed by somebody since; never touches an object that is not ours, and never takes a field from another manager that we did not own.
 */
export class Applier {
  readonly #options: ApplierOptions
  /** What we owned of an object after our last write, by its key. */
  readonly #owned = new Map<string, string>()

  constructor(options: ApplierOptions) {
    this.#options = options
  }

  /** True while nothing would be written for this object. */
  isApplied({ key, plan, name }: Outline): boolean {
    const known = this.#options.objects.get(name.kind, name.namespace, name.name)
    if (known === null || known.deleting || known.plan !== plan) return false
    const owned = this.#owned.get(key)
    if (owned === undefined && !known.touched) this.#owned.set(key, known.owned)
    return owned === undefined ? !known.touched : owned === known.owned
  }

  /**
   * Applies what differs, in the order of dependence. `adopt`: keys of objects that are taken over whoever made them.
   * @throws FairwayError CLUSTER_… of the first object that could not be applied; the others were tried
   */
  async apply(
    planned: readonly KubeObject[],
    options: { readonly adopt?: ReadonlySet<string> } = {},
  ): Promise<ApplyResult> {
    const pending = planned.filter((object) => !this.isApplied(outlineOf(object)))
    let fresh = false
    for (const group of ranked(pending)) {
      const results = await inParallel(group, this.#options.width ?? 4, async (object) => {
        const adopt = options.adopt?.has(objectKey(object)) === true
        const created = await this.#applyOne(object, { fresh, adopt })
        if (object.kind === 'Namespace' && created) fresh = true
      })
      const failure = results.find((result) => result !== null)
      if (failure !== undefined) throw asError(failure)
    }
    return { applied: pending.length }
  }

  /** Deletes what is ours, no longer planned, and may go now. Resolves with how many that were. @throws FairwayError CLUSTER_… */
  async prune(
    ref: AppRef,
    planned: readonly Outline[],
    mayGo: (kind: Kind) => boolean,
  ): Promise<number> {
    const { client, objects } = this.#options
    const keep = new Set(planned.map(({ key }) => key))
    const doomed = objects.prunable(namespaceOf(ref)).filter(({ kind, object }) => {
      const isWanted = keep.has(keyOf(kind, object)) || object.job !== ''
      return object.app === refKey(ref) && !object.deleting && !isWanted && mayGo(kind)
    })
    for (const { kind, object } of doomed) {
      await client.delete({ kind, ...object }, { uid: object.uid })
      this.#owned.delete(keyOf(kind, object))
    }
    return doomed.length
  }

  /** Forgets what was applied in a namespace that is gone. */
  forget(namespace: string): void {
    for (const key of this.#owned.keys())
      if (key.includes(` ${namespace}/`) || key === `Namespace ${namespace}`)
        this.#owned.delete(key)
  }

  // Private

  /** True where the object did not exist before. */
  async #applyOne(
    object: KubeObject,
    { fresh, adopt }: { readonly fresh: boolean; readonly adopt: boolean },
  ): Promise<boolean> {
    const { client, objects } = this.#options
    const name = nameOf(object)
    const known = this.#known(object)
    if (known?.deleting === true)
      throw new FairwayError('CLUSTER_CONFLICT', `${objectKey(object)} is being deleted`, {
        details: { deleting: true },
      })
    // Nothing of anybody's can be in a namespace that we made a moment ago.
    const live = known !== null || fresh ? null : await client.get(name)
    if (live !== null && !adopt) this.#expectOurs(object, live)
    const wasOurs = known !== null || (live !== null && wasApplied(live))
    if (known !== null || live !== null) await handOverReplicas(client, name, object)
    const answer = await this.#write(name, object, { known, wasOurs, adopt })
    this.#owned.set(objectKey(object), objects.put(name.kind, answer).owned)
    return known === null && live === null
  }

  async #write(
    name: ObjectName,
    object: KubeObject,
    has: { known: OwnedObject | null; wasOurs: boolean; adopt: boolean },
  ): Promise<Json> {
    const { client } = this.#options
    try {
      return await client.apply(name, object, { force: has.adopt })
    } catch (error) {
      const sameplan = has.known?.plan === planOf(object)
      if (has.wasOurs && isTakeover(error, sameplan))
        return await client.apply(name, object, { force: true })
      throw withObject(error, object)
    }
  }

  /** A namesake without our labels belongs to whoever made it. Labels that were taken off by hand do not make it theirs. */
  #expectOurs(object: KubeObject, live: Json): void {
    const owner = labelOf(live, LABELS.owner)
    if (owner === this.#options.owner) return
    if (owner === '' && wasApplied(live)) return
    const { metadata } = object
    const key = objectKey(object)
    const whose = WHOSE.get(owner) ?? 'belongs to another Fairway server'
    throw new FairwayError('CLUSTER_CONFLICT', `${key} exists and ${whose}; it was not touched`, {
      hint: `Take it over with \`fairway adopt\`, or delete it: kubectl delete ${object.kind.toLowerCase()} ${metadata.name}${metadata.namespace === undefined ? '' : ` -n ${metadata.namespace}`}`,
      details: { object: key, foreign: true, process: processOf(object) },
    })
  }

  #known(object: KubeObject): OwnedObject | null {
    const { kind, namespace, name } = nameOf(object)
    return this.#options.objects.get(kind, namespace, name)
  }
}

export function outlineOf(object: KubeObject): Outline {
  return { key: objectKey(object), plan: planOf(object), name: nameOf(object) }
}

/** @throws TypeError for a kind that is planned but not in kinds.ts */
export function nameOf(object: KubeObject): ObjectName {
  const kind = kindOf(object.apiVersion, object.kind)
  if (kind === null) throw new TypeError(`unknown kind ${object.apiVersion} ${object.kind}`)
  return { kind, namespace: object.metadata.namespace ?? null, name: object.metadata.name }
}

/** Objects in the order in which they are applied. */
export function ranked(objects: readonly KubeObject[]): readonly (readonly KubeObject[])[] {
  const groups = new Map<number, KubeObject[]>()
  for (const object of objects) {
    const rank = RANKS[object.kind] ?? LAST_RANK
    groups.set(rank, [...(groups.get(rank) ?? []), object])
  }
  return [...groups].sort(([a], [b]) => a - b).map(([, group]) => group)
}

// Private

/** Whose an object is, by the label of its owner; every other one is a server's. */
const WHOSE: ReadonlyMap<string, string> = new Map([
  ['', 'was not made by Fairway'],
  [FILES_OWNER, 'was applied from files'],
])

/** The same as `objectKey` of the planned object. */
function keyOf(kind: Kind, { namespace, name }: OwnedObject): string {
  return `${kind.kind} ${namespace === '' ? name : `${namespace}/${name}`}`
}

function planOf(object: KubeObject): string {
  return object.metadata.annotations[PLAN_ANNOTATION] ?? ''
}

function processOf(object: KubeObject): string {
  return object.metadata.labels[LABELS.process] ?? ''
}

/**
 * True where the conflict is over fields that were ours and that somebody changed by hand: with the same plan as before every field of it was ours, and kubectl
 * is always a hand. Another manager that applies, or a controller, keeps its fields.
 */
function isTakeover(error: unknown, samePlan: boolean): boolean {
  const conflicts = conflictsOf(error)
  return (
    conflicts.length > 0 &&
    conflicts.every(
      ({ field, manager, operation }) =>
        isOldScaler(field, manager) ||
        (operation === 'Update' && (samePlan || manager.startsWith('kubectl'))),
    )
  )
}

/** A plan that names the number of copies has no scaler: ours was there before and is being removed. */
function isOldScaler(field: string, manager: string): boolean {
  return (
    field === '.spec.replicas' &&
    (manager === 'kube-controller-manager' || manager === HANDOVER_MANAGER)
  )
}

function conflictsOf(error: unknown): readonly FieldConflict[] {
  if (!(error instanceof FairwayError) || error.code !== 'CLUSTER_CONFLICT') return []
  return listAt(error.details, 'conflicts')
    .filter(isRecord)
    .map((conflict) => ({
      field: textAt(conflict, 'field'),
      manager: textAt(conflict, 'manager'),
      operation: textAt(conflict, 'operation') === 'Update' ? 'Update' : 'Apply',
    }))
}

/** Says which process it is about, so that only that one fails. */
function withObject(error: unknown, object: KubeObject): unknown {
  if (!(error instanceof FairwayError)) return error
  const details = { ...error.details, object: objectKey(object), process: processOf(object) }
  return new FairwayError(error.code, error.message, { cause: error, hint: error.hint, details })
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

/** What each call threw, in order; null = nothing. */
async function inParallel<T>(
  items: readonly T[],
  width: number,
  task: (item: T) => Promise<unknown>,
): Promise<readonly unknown[]> {
  const results: unknown[] = items.map(() => null)
  const queue = items.entries()
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) {
      try {
        await task(item)
      } catch (error) {
        results[index] = error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker))
  return results
}
