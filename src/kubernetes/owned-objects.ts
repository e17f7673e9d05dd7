import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { FairwayError } from '../model/errors.ts'
import type { ClusterClient } from './cluster-client.ts'
import type { Json } from './json-value.ts'
import { KINDS, type Kind } from './kinds.ts'
import { ownedBy } from './labels.ts'
import { ownedObject, type OwnedObject } from './owned-object.ts'
import { podFacts, type PodFacts } from './pod-facts.ts'
import { routeFacts, type RouteFacts } from './route-facts.ts'
import { WatchCache, type WatchCacheOptions } from './watch-cache.ts'
import { workloadFacts, type WorkloadFacts } from './workload-facts.ts'

export interface OwnedObjectsOptions {
  readonly client: ClusterClient
  readonly owner: string
  readonly onChange: (kind: Kind, before: OwnedObject | null, now: OwnedObject | null) => void
  readonly onPod: (before: PodFacts | null, now: PodFacts | null) => void
  /** After each try to reach the cluster: null = every kind can be watched, else why one cannot. */
  readonly onContact: (error: FairwayError | null) => void
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

type Common = Omit<WatchCacheOptions<OwnedObject>, 'trim' | 'onChange' | 'metadataOnly'>

export interface Owned {
  readonly kind: Kind
  readonly object: OwnedObject
}

/** Kinds that are applied from plans and of which only the metadata is kept. */
const PLAIN_KINDS: readonly Kind[] = [
  KINDS.Namespace,
  KINDS.ServiceAccount,
  KINDS.Secret,
  KINDS.ConfigMap,
  KINDS.PersistentVolumeClaim,
  KINDS.NetworkPolicy,
  KINDS.PodDisruptionBudget,
  KINDS.Service,
  KINDS.CronJob,
  KINDS.HorizontalPodAutoscaler,
  KINDS.Ingress,
]
/** Read again only after it was removed by hand, never because it is absent from a plan: what is in it is people's. */
const KEPT_KINDS: ReadonlySet<Kind> = new Set([KINDS.Namespace, KINDS.PersistentVolumeClaim])

type OneCache = WatchCache<OwnedObject> | WatchCache<WorkloadFacts> | WatchCache<RouteFacts>

/** Everything in the cluster that carries our owner's labels: one watch per kind for all apps together. */
export class OwnedObjects {
  readonly pods: WatchCache<PodFacts>
  readonly #workloads: ReadonlyMap<Kind, WatchCache<WorkloadFacts>>
  readonly #routes: WatchCache<RouteFacts>
  readonly #plain: ReadonlyMap<Kind, WatchCache<OwnedObject>>

  constructor(options: OwnedObjectsOptions) {
    const { client, owner, onPod, clock, random, log } = options
    const failed = new Map<Kind, FairwayError>()
    const common = (kind: Kind): Common => ({
      client,
      kind,
      labels: ownedBy(owner),
      clock,
      random,
      log,
      onContact: (error) => {
        if (error === null) failed.delete(kind)
        else failed.set(kind, error)
        const [first = null] = failed.values()
        options.onContact(first)
      },
    })
    this.pods = new WatchCache({ ...common(KINDS.Pod), trim: podFacts, onChange: onPod })
    const cache = <T extends OwnedObject>(
      kind: Kind,
      trim: (object: Json) => T,
      metadataOnly: boolean,
    ): [Kind, WatchCache<T>] => {
      const optional = kind === KINDS.HTTPRoute
      const onChange = (before: T | null, now: T | null): void =>
        options.onChange(kind, before, now)
      return [kind, new WatchCache({ ...common(kind), trim, onChange, metadataOnly, optional })]
    }
    const trimRoute = (object: Json): RouteFacts => routeFacts(object, clock.now())
    this.#routes = cache(KINDS.HTTPRoute, trimRoute, false)[1]
    this.#workloads = new Map([
      cache(KINDS.Deployment, workloadFacts, false),
      cache(KINDS.StatefulSet, workloadFacts, false),
    ])
    this.#plain = new Map(PLAIN_KINDS.map((kind) => cache(kind, ownedObject, true)))
  }

  /** Begins to follow the cluster, until the signal aborts. */
  start(signal: AbortSignal): void {
    for (const cache of this.#all()) void cache.follow(signal)
  }

  get synced(): boolean {
    return this.#all().every(({ synced }) => synced)
  }

  async untilSynced(): Promise<void> {
    await Promise.all(this.#all().map((cache) => cache.untilSynced()))
  }

  get(kind: Kind, namespace: string | null, name: string): OwnedObject | null {
    return this.#cache(kind)?.get(namespace ?? '', name) ?? null
  }

  namespaces(): readonly OwnedObject[] {
    return this.#plain.get(KINDS.Namespace)?.all() ?? []
  }

  workloads(namespace: string): readonly WorkloadFacts[] {
    return [...this.#workloads.values()].flatMap((cache) => cache.in(namespace))
  }

  routes(namespace: string): readonly RouteFacts[] {
    return this.#routes.in(namespace)
  }

  /** What may be pruned: Jobs and disks live by their own rules. */
  prunable(namespace: string): readonly Owned[] {
    return this.everything(namespace).filter(({ kind }) => !KEPT_KINDS.has(kind))
  }

  /** Whether claims of ours for disks are in it. */
  hasDisks(namespace: string): boolean {
    return this.everything(namespace).some(({ kind }) => kind === KINDS.PersistentVolumeClaim)
  }

  /** All but Jobs, pods and the namespace itself. */
  everything(namespace: string): readonly Owned[] {
    return [...this.#byKind()].flatMap(([kind, cache]) =>
      cache.in(namespace).map((object) => ({ kind, object })),
    )
  }

  /** Takes the answer to a write of ours. */
  put(kind: Kind, object: Json): OwnedObject {
    return this.#cache(kind)?.put(object) ?? ownedObject(object)
  }

  #cache(kind: Kind): OneCache | null {
    if (kind === KINDS.HTTPRoute) return this.#routes
    return this.#workloads.get(kind) ?? this.#plain.get(kind) ?? null
  }

  #byKind(): readonly (readonly [Kind, OneCache])[] {
    return [...this.#workloads, ...this.#plain, [KINDS.HTTPRoute, this.#routes]]
  }

  #all(): readonly (OneCache | WatchCache<PodFacts>)[] {
    return [this.pods, ...this.#byKind().map(([, cache]) => cache)]
  }
}
