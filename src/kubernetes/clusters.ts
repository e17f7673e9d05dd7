import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { HostCheck } from '../model/host.ts'
import type { ClusterDoor } from '../model/kube-access.ts'
import type { AppRef, TargetName } from '../model/names.ts'
import type { Digest } from '../model/release.ts'
import type { TargetRecord } from '../model/store.ts'
import type { Cluster, Clusters, TargetMetrics } from '../model/targets.ts'
import { openAccessDoor } from './open-access-door.ts'
import { ClusterClient } from './cluster-client.ts'
import { KubernetesNodes } from './cluster-nodes.ts'
import { checkCluster } from './doctor.ts'
import { KubernetesEngine } from './engine.ts'
import { readKubeconfig, type ClusterConnection } from './kubeconfig.ts'
import { PodLogReader } from './log-reader.ts'
import { Manifests } from './manifests.ts'
import { checkMetrics } from './metrics-check.ts'
import { MetricsSource } from './metrics-source.ts'
import type { PullSecret } from './plan-settings.ts'
import type { EngineDoor } from './pod-door.ts'
import { TrafficReader } from './traffic-reader.ts'

export interface KubernetesClustersOptions {
  /** Name of this installation, the same for its whole life and of no other: a label value. */
  readonly owner: string
  /** How the nodes of a target name an image. */
  readonly imageOf: (target: TargetRecord) => (digest: Digest, ref: AppRef) => string
  readonly pullSecret: (target: TargetRecord) => PullSecret | null
  readonly defaultHost: (ref: AppRef) => string
  /** As in `PlanSettings`. */
  readonly fingerprint: (text: string) => string
  /** Where the target's requests are counted; null = nowhere that we know of. */
  readonly metrics: (target: TargetRecord) => TargetMetrics | null
  /** How pods of a target get values and identities; absent = they get none. */
  readonly podDoor?: (target: TargetRecord) => EngineDoor
  readonly fetch: typeof globalThis.fetch
  readonly clock: Clock
  readonly random: () => number
  readonly logOf: (target: TargetName) => Log
  readonly userAgent?: string
  /** The cluster that this server itself runs in: used for targets whose kubeconfig is empty. Default: such targets are refused. */
  readonly inCluster?: () => Promise<ClusterConnection>
}

/** Every cluster that apps are deployed to: one client, one engine and one log reader each. */
export class KubernetesClusters implements Clusters {
  readonly #options: KubernetesClustersOptions

  constructor(options: KubernetesClustersOptions) {
    this.#options = options
  }

  describe({
    kubeconfig,
    context,
  }: Pick<TargetRecord, 'kubeconfig' | 'context'>): Promise<{ readonly server: string }> {
    return this.#connection(kubeconfig, context).then(({ server }) => ({ server }))
  }

  async connect(target: TargetRecord): Promise<Cluster> {
    const client = await this.#client(target)
    const { clock, random, owner, imageOf, pullSecret, defaultHost, fingerprint } = this.#options
    const settings = {
      owner,
      imageOf: imageOf(target),
      pullSecret: pullSecret(target),
      defaultHost,
      fingerprint,
    }
    const log = this.#options.logOf(target.name)
    const source = this.#metrics(target)
    const traffic = source === null ? null : new TrafficReader(source, clock)
    const podDoor = this.#options.podDoor?.(target)
    const engine = new KubernetesEngine({
      client,
      settings,
      ...(podDoor === undefined ? {} : { podDoor }),
      traffic,
      clock,
      random,
      log,
    })
    const logs = new PodLogReader({
      client,
      pods: (ref) => engine.pods(ref),
      changed: (ref, signal) => engine.changed(ref, signal),
      clock,
    })
    const manifests = new Manifests({
      client,
      settings,
      adopt: (ref, objects) => engine.adopt(ref, objects),
    })
    const nodes = new KubernetesNodes({ client, owner, clock, random, log })
    return { engine, logs, manifests, nodes, instances: engine.instances }
  }

  async check(target: TargetRecord): Promise<readonly HostCheck[]> {
    const client = await this.#client(target)
    try {
      const source = this.#metrics(target)
      const found = await checkCluster(client)
      return source === null ? found : [...found, await checkMetrics(source)]
    } finally {
      await client.close()
    }
  }

  async door(target: TargetRecord): Promise<ClusterDoor> {
    const { owner, clock, random } = this.#options
    const connection = await this.#connection(target.kubeconfig, target.context)
    return openAccessDoor({ client: await this.#client(target), connection, owner, clock, random })
  }

  #metrics(target: TargetRecord): MetricsSource | null {
    const { metrics, fetch } = this.#options
    const found = metrics(target)
    return found === null ? null : new MetricsSource({ ...found, fetch })
  }

  async #client({ kubeconfig, context }: TargetRecord): Promise<ClusterClient> {
    const { clock, random, userAgent } = this.#options
    return new ClusterClient({
      connection: await this.#connection(kubeconfig, context),
      clock,
      random,
      ...(userAgent === undefined ? {} : { userAgent }),
    })
  }

  async #connection(kubeconfig: string, context: string | null): Promise<ClusterConnection> {
    const { inCluster } = this.#options
    if (kubeconfig === '' && inCluster !== undefined) return await inCluster()
    return readKubeconfig(kubeconfig, context)
  }
}
