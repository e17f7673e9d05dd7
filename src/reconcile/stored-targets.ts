import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { METRICS_CHECK, type HostCheck } from '../model/host.ts'
import { grantOf, PLATFORM, type Identity } from '../model/identity.ts'
import { parseMetricsUrl } from '../model/metrics-url.ts'
import { refKey, type TargetName } from '../model/names.ts'
import type { Store, TargetRecord } from '../model/store.ts'
import type { Clusters, NewTarget, TargetRegistry, Targets, TargetView } from '../model/targets.ts'
import { activeRelease } from './app-planner.ts'
import { unknownTarget, type ConnectedClusters } from './connected-clusters.ts'
import { metricsOf, metricsSettings } from './target-metrics.ts'
import { registryOf, registrySettings } from './target-registry.ts'
import { serverUrlOf, serverUrlSettings } from './target-server.ts'

export interface StoredTargetsOptions {
  readonly store: Store
  readonly clusters: Clusters
  readonly connected: ConnectedClusters
  readonly clock: Clock
  /** Tokens with which the nodes of a target pull from this server's registry. */
  readonly identity: Pick<Identity, 'createToken' | 'listTokens' | 'revokeToken'>
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
    const { store, connected, clock } = this.#options
    const { metrics } = target
    const settings = metricsSettings(
      metrics === null ? null : { ...metrics, url: parseMetricsUrl(metrics.url) },
    )
    const record: TargetRecord = {
      name: target.name,
      kubeconfig: target.kubeconfig,
      context: target.context,
      settings: { ...settings, ...serverUrlSettings(target.serverUrl ?? null) },
      createdAt: (await store.getTarget(target.name))?.createdAt ?? clock.now(),
    }
    await this.#refuseUnusable(record)
    const registry = await this.#withToken(target)
    await store.putTarget({
      ...record,
      settings: { ...record.settings, ...registrySettings(registry) },
    })
    await connected.forget(target.name)
    const apps = await this.#apps()
    // Apps that run there go on under the new credentials, and a plan is checked against what the target honours before its first deploy.
    await connected.connected(target.name)
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
    await this.#revokeToken(name)
    await this.#options.connected.forget(name)
  }

  async check(name: TargetName): Promise<readonly HostCheck[]> {
    const record = await this.#options.store.getTarget(name)
    if (record === null) throw unknownTarget(name)
    return this.#options.clusters.check(record)
  }

  /** Where nodes pull from our own registry they get a token that can do no more than read. */
  async #withToken({ name, registry }: NewTarget): Promise<TargetRegistry | null> {
    await this.#revokeToken(name)
    if (registry === null || registry.push) return registry
    const { token } = await this.#options.identity.createToken(PLATFORM, {
      name: tokenName(name),
      person: null,
      grants: [{ ...grantOf('viewer'), actions: ['image:pull'] }],
      expiresAt: null,
    })
    return { ...registry, user: 'fairway', password: token }
  }

  async #revokeToken(name: TargetName): Promise<void> {
    const { identity } = this.#options
    const found = (await identity.listTokens(PLATFORM)).find(
      (token) => token.name === tokenName(name),
    )
    if (found !== undefined) await identity.revokeToken(PLATFORM, found.id)
  }

  async #refuseUnusable(record: TargetRecord): Promise<void> {
    const [reached, ...others] = await this.#options.clusters.check(record)
    const metrics = others.find(({ name }) => name === METRICS_CHECK)
    const failed = [reached, metrics].find((check) => check?.status === 'fail')
    if (failed === undefined) return
    const hint = failed.fix === null ? {} : { hint: failed.fix }
    throw new FairwayError('CLUSTER_UNREACHABLE', failed.message, hint)
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
      metrics: metricsOf(settings)?.url ?? null,
      serverUrl: serverUrlOf(settings),
      apps: apps.get(name) ?? [],
    }
  }
}

function tokenName(target: TargetName): string {
  return `target ${target}`
}
