import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { HostCheck } from '../model/host.ts'
import { refKey, type TargetName } from '../model/names.ts'
import type { Store, TargetRecord } from '../model/store.ts'
import type { Clusters, NewTarget, Targets, TargetView } from '../model/targets.ts'
import { activeRelease } from './app-planner.ts'
import { unknownTarget, type ConnectedClusters } from './connected-clusters.ts'
import { registryOf, registrySettings } from './target-registry.ts'

export interface StoredTargetsOptions {
  readonly store: Store
  readonly clusters: Clusters
  readonly connected: ConnectedClusters
  readonly clock: Clock
}

/** The targets in the store, and who runs there. */
export class StoredTargets implements Targets {
  readonly #options: StoredTargetsOptions

  constructor(options: StoredTargetsOptions) {
    this.#options = options
  }

  async list(): Promise<readonly TargetView[]> {
    const apps = await this.#apps()
    const records = await this.#options.store.listTargets()
    return Promise.all(records.map((record) => this.#view(record, apps)))
  }

  async add(target: NewTarget): Promise<TargetView> {
    const { store, clusters, connected, clock } = this.#options
    const record: TargetRecord = {
      name: target.name,
      kubeconfig: target.kubeconfig,
      context: target.context,
      settings: registrySettings(target.registry),
      createdAt: (await store.getTarget(target.name))?.createdAt ?? clock.now(),
    }
    await clusters.check(record)
    await store.putTarget(record)
    await connected.forget(target.name)
    const apps = await this.#apps()
    // Apps that run there go on under the new credentials, not only with their next deploy.
    if (apps.has(target.name)) await connected.connected(target.name)
    return this.#view(record, apps)
  }

  async remove(name: TargetName): Promise<void> {
    const apps = (await this.#apps()).get(name) ?? []
    if (apps.length > 0) {
      throw new FairwayError('CONFLICT', `${apps.join(', ')} run on ${name}`, {
        hint: 'Destroy them there first, or deploy them with another target.',
      })
    }
    if (!(await this.#options.store.deleteTarget(name))) throw unknownTarget(name)
    await this.#options.connected.forget(name)
  }

  async check(name: TargetName): Promise<readonly HostCheck[]> {
    const record = await this.#options.store.getTarget(name)
    if (record === null) throw unknownTarget(name)
    return this.#options.clusters.check(record)
  }

  async #apps(): Promise<ReadonlyMap<TargetName, readonly string[]>> {
    const { store } = this.#options
    const found = new Map<TargetName, string[]>()
    for (const { ref } of await store.listApps()) {
      const target = (await activeRelease(ref, store))?.spec.target ?? null
      if (target !== null) found.set(target, [...(found.get(target) ?? []), refKey(ref)])
    }
    return found
  }

  async #view(
    record: TargetRecord,
    apps: ReadonlyMap<TargetName, readonly string[]>,
  ): Promise<TargetView> {
    const { name, context, createdAt, settings } = record
    const { server } = await this.#options.clusters.describe(record)
    return {
      name,
      context,
      createdAt,
      server,
      registry: registryOf(settings)?.name ?? null,
      apps: apps.get(name) ?? [],
    }
  }
}
