import type { Engine } from './engine.ts'
import type { HostCheck } from './host.ts'
import type { ClusterInstances } from './instance-secrets.ts'
import type { ClusterDoor } from './kube-access.ts'
import type { LogReader } from './logs.ts'
import type { ClusterManifests } from './manifests.ts'
import type { TargetName } from './names.ts'
import type { ClusterNodes } from './nodes.ts'
import type { TargetRecord } from './store.ts'

/** A cluster that apps are deployed to, as people see it: nothing of its credentials. */
export interface TargetView {
  readonly name: TargetName
  /** URL of the cluster's API server. */
  readonly server: string
  readonly context: string | null
  readonly registry: string | null
  /** URL of the metrics by which canaries are judged there. */
  readonly metrics: string | null
  /** As it was given for its pods; null = the server's own. */
  readonly serverUrl: string | null
  readonly createdAt: number
  /** Apps whose serving release runs there, as `app/environment`. */
  readonly apps: readonly string[]
}

export interface NewTarget {
  readonly name: TargetName
  /** Text of a kubeconfig with its credentials in it. */
  readonly kubeconfig: string
  /** Null = the file's `current-context`. */
  readonly context: string | null
  readonly registry: TargetRegistry | null
  /** Null = nothing there says what releases serve: canaries go by readiness alone. */
  readonly metrics: TargetMetrics | null
  /** https URL under which its pods reach this server; null = as `FAIRWAY_ACCESS_URL` says. */
  readonly serverUrl?: string | null
}

/** Something that speaks the HTTP API of Prometheus and knows of the cluster's requests. */
export interface TargetMetrics {
  /** As `parseMetricsUrl` gives it. */
  readonly url: string
  /** Sent as `Authorization: Bearer`. */
  readonly token: string | null
}

/** Where the cluster's nodes get images from. */
export interface TargetRegistry {
  /** `host[:port][/path]`: images are named below it. */
  readonly name: string
  /** True: a registry of the user's, to which images are pushed. False: our own, under the address by which the nodes reach it. */
  readonly push: boolean
  readonly user: string | null
  readonly password: string | null
  /** What nodes log in with; null = the same. */
  readonly pull?: { readonly user: string; readonly password: string } | null
  /** URL at which this server reaches it where that is another than the name says: inside of one cluster, also by http. */
  readonly endpoint?: string
}

/** The clusters that environments may name as their target. Unknown names are FairwayError NOT_FOUND. */
export interface Targets {
  list(): Promise<readonly TargetView[]>
  /**
   * Keeps the target once its cluster has answered; a known name gets the new credentials.
   * @throws FairwayError INVALID_REQUEST for a kubeconfig that cannot be used, CLUSTER_UNREACHABLE, CLUSTER_UNAUTHORIZED
   */
  add(target: NewTarget): Promise<TargetView>
  /** @throws FairwayError CONFLICT while apps run there */
  remove(name: TargetName): Promise<void>
  /** What the cluster has and lacks, and what follows from it. */
  check(name: TargetName): Promise<readonly HostCheck[]>
}

/** A cluster that has been connected to. */
export interface Cluster {
  readonly engine: Engine
  readonly logs: LogReader
  readonly manifests: ClusterManifests
  readonly nodes: ClusterNodes
  readonly instances: ClusterInstances
}

/** Makes clusters usable; `kubernetes/` implements it. */
export interface Clusters {
  /** Reads the kubeconfig without asking the cluster. @throws FairwayError INVALID_REQUEST */
  describe(target: Pick<TargetRecord, 'kubeconfig' | 'context'>): Promise<{
    readonly server: string
  }>
  /** Never waits for the cluster: one that does not answer shows in what its engine says. */
  connect(target: TargetRecord): Promise<Cluster>
  check(target: TargetRecord): Promise<readonly HostCheck[]>
  /** The way of people's own programs into it; nothing is asked of the cluster yet. Whoever gets it closes it. */
  door(target: TargetRecord): Promise<ClusterDoor>
}
