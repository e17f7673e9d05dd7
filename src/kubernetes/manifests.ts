import { FairwayError } from '../model/errors.ts'
import type {
  ApplyFilesOptions,
  ClusterManifests,
  ExportRequest,
  ManifestChange,
  ManifestFiles,
} from '../model/manifests.ts'
import { refKey, type AppRef, type ProcessName } from '../model/names.ts'
import type { ClusterClient } from './cluster-client.ts'
import { exportFiles } from './export.ts'
import { readFacts } from './facts.ts'
import { numberAt, recordAt, textAt, type Json } from './json-value.ts'
import { KINDS, type Kind } from './kinds.ts'
import { labelOf, LABELS, namespaceOf, ownedBy } from './labels.ts'
import { hasStrangers } from './namespace-end.ts'
import { FILES_OWNER, readManifests, type ManifestObject } from './manifest-files.ts'
import type { EngineSettings } from './reconciler.ts'

export interface ManifestsOptions {
  readonly client: ClusterClient
  readonly settings: EngineSettings
  readonly adopt: (ref: AppRef, objects: readonly string[]) => Promise<void>
}

/** What pruning may delete: never a namespace, a disk, or values that the files may have been written without. */
const PRUNED: readonly Kind[] = [
  KINDS.HTTPRoute,
  KINDS.Ingress,
  KINDS.HorizontalPodAutoscaler,
  KINDS.Deployment,
  KINDS.StatefulSet,
  KINDS.CronJob,
  KINDS.Job,
  KINDS.Service,
  KINDS.PodDisruptionBudget,
  KINDS.NetworkPolicy,
  KINDS.ServiceAccount,
]

/** Manifests of apps as files, written from plans and applied as they stand, by server-side apply under the owner `files`. */
export class Manifests implements ClusterManifests {
  readonly #options: ManifestsOptions

  constructor(options: ManifestsOptions) {
    this.#options = options
  }

  async exportApp({ desired, job, secrets }: ExportRequest): Promise<ManifestFiles> {
    const { client, settings } = this.#options
    const facts = await readFacts(client)
    return exportFiles({
      desired,
      job,
      settings: { ...settings, owner: FILES_OWNER, facts, slots: new Map() },
      secrets: secrets ? 'write' : 'leave out',
    })
  }

  async apply(
    files: ManifestFiles,
    { dryRun, prune }: ApplyFilesOptions,
  ): Promise<readonly ManifestChange[]> {
    const objects = readManifests(files)
    if (objects.length === 0)
      throw new FairwayError('INVALID_REQUEST', 'the files hold no objects of an app')
    const changes: ManifestChange[] = []
    const missing = new Set<string>()
    for (const one of objects) changes.push(await this.#applyOne(one, dryRun, missing))
    if (prune) changes.push(...(await this.#prune(objects, dryRun)))
    return changes
  }

  async remove(ref: AppRef, process: ProcessName | null): Promise<readonly ManifestChange[]> {
    const { client } = this.#options
    const namespace = namespaceOf(ref)
    const name = { kind: KINDS.Namespace, namespace: null, name: namespace }
    const live = await client.get(name)
    if (live === null || labelOf(live, LABELS.owner) !== FILES_OWNER)
      throw new FairwayError('NOT_FOUND', `no files were applied for ${refKey(ref)} there`)
    if (process === null) {
      if (await hasStrangers(client, namespace, FILES_OWNER))
        throw new FairwayError('CLUSTER_CONFLICT', `${namespace} holds objects of somebody else`, {
          hint: 'Delete its processes one by one, or the namespace by hand.',
        })
      await client.delete(name, { uid: textAt(live, 'metadata', 'uid') })
      return [{ object: `Namespace ${namespace}`, action: 'deleted' }]
    }
    return this.#delete(ref, (object) => labelOf(object, LABELS.process) === process, false)
  }

  adopt(ref: AppRef, objects: readonly string[]): Promise<void> {
    return this.#options.adopt(ref, objects)
  }

  // Private

  async #applyOne(
    { kind, namespace, name, object }: ManifestObject,
    dryRun: boolean,
    missing: Set<string>,
  ): Promise<ManifestChange> {
    const { client } = this.#options
    const target = { kind, namespace, name }
    const key = keyOf(kind, namespace, name)
    const live = await client.get(target)
    if (live !== null) refuseStranger(live, key)
    // What a dry run would make is not there for what would lie in it.
    if (dryRun && (live === null || (namespace !== null && missing.has(namespace)))) {
      if (kind === KINDS.Namespace) missing.add(name)
      if (namespace === null || missing.has(namespace)) return { object: key, action: 'created' }
    }
    const after = await client.apply(target, object, { dryRun })
    if (live === null) return { object: key, action: 'created' }
    const same =
      JSON.stringify(withoutBookkeeping(live)) === JSON.stringify(withoutBookkeeping(after))
    return { object: key, action: same ? 'unchanged' : 'changed' }
  }

  async #prune(
    objects: readonly ManifestObject[],
    dryRun: boolean,
  ): Promise<readonly ManifestChange[]> {
    const kept = new Set(objects.map(({ kind, namespace, name }) => keyOf(kind, namespace, name)))
    const refs = new Map(objects.map(({ ref }) => [refKey(ref), ref] as const))
    const changes: ManifestChange[] = []
    for (const ref of refs.values()) {
      const gone = (object: Json, kind: Kind): boolean =>
        !kept.has(keyOf(kind, namespaceOf(ref), textAt(object, 'metadata', 'name')))
      changes.push(...(await this.#delete(ref, gone, dryRun)))
    }
    return changes
  }

  async #delete(
    ref: AppRef,
    wanted: (object: Json, kind: Kind) => boolean,
    dryRun: boolean,
  ): Promise<readonly ManifestChange[]> {
    const { client } = this.#options
    const namespace = namespaceOf(ref)
    const changes: ManifestChange[] = []
    for (const kind of PRUNED) {
      const { items } = await this.#list(kind, namespace)
      for (const object of items.filter((item) => wanted(item, kind))) {
        const name = textAt(object, 'metadata', 'name')
        const uid = textAt(object, 'metadata', 'uid')
        if (!dryRun) await client.delete({ kind, namespace, name }, { uid })
        changes.push({ object: keyOf(kind, namespace, name), action: 'deleted' })
      }
    }
    return changes
  }

  /** A kind that the cluster does not have has no objects. */
  async #list(kind: Kind, namespace: string): Promise<{ readonly items: readonly Json[] }> {
    try {
      return await this.#options.client.list(kind, { namespace, labels: ownedBy(FILES_OWNER) })
    } catch (error) {
      if (error instanceof FairwayError && numberAt(error.details, 'status') === 404)
        return { items: [] }
      throw error
    }
  }
}

function refuseStranger(live: Json, key: string): void {
  if (labelOf(live, LABELS.owner) === FILES_OWNER) return
  const owner = labelOf(live, LABELS.owner)
  throw new FairwayError(
    'CLUSTER_CONFLICT',
    `${key} exists and was not applied from files${owner === '' ? '' : `; it belongs to ${owner}`}`,
    { hint: 'Delete it first, or apply to another cluster: nothing of it was changed.' },
  )
}

function withoutBookkeeping(object: Json): Json {
  const metadata = without(recordAt(object, 'metadata'), [
    'managedFields',
    'resourceVersion',
    'generation',
  ])
  return { ...without(object, ['status']), metadata }
}

function without(record: Json, keys: readonly string[]): Json {
  return Object.fromEntries(Object.entries(record).filter(([key]) => !keys.includes(key)))
}

function keyOf(kind: Kind, namespace: string | null, name: string): string {
  return `${kind.kind} ${namespace === null ? name : `${namespace}/${name}`}`
}
