/** What a cluster has, as far as plans depend on it. */
export interface ClusterFacts {
  /** Of the API server, such as '1.34.9'. */
  readonly version: string
  /** The Gateway that routes attach to; null where the Gateway API or a Gateway is missing. */
  readonly gateway: GatewayFacts | null
  readonly ingressClass: string | null
  /** Namespaces in which the pods run that carry requests from outside; null = not known, or not pods at all (host network, a load balancer). */
  readonly routerNamespaces: readonly string[] | null
  /** Whether the metrics API answers, without which nothing scales by CPU or memory. */
  readonly metrics: boolean
  readonly keda: boolean
  readonly istio: boolean
  readonly defaultStorageClass: string | null
  /** Nodes that can be scheduled to. */
  readonly nodes: number
  /** 'cluster.local' nearly everywhere. */
  readonly clusterDomain: string
  /** Address ranges of pods and Services; null = not known: then no private range may be called. */
  readonly clusterRanges: readonly string[] | null
}

export interface GatewayFacts {
  readonly namespace: string
  readonly name: string
  readonly class: string
  /** What its controller says against it, or that there is none; null = it is ready. */
  readonly trouble: string | null
}
