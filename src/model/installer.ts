import type { TargetName } from './names.ts'

/** How a control plane is put on a cluster. */
export interface InstallRequest {
  readonly target: TargetName
  readonly namespace: string
  /** URL of a PostgreSQL that pods of the cluster reach, a secret; null = one instance beside it. */
  readonly database: string | null
  /** Further names under which its API is called. */
  readonly hosts: readonly string[]
  /** Port of every node for its API; null = inside of the cluster alone. */
  readonly nodePort: number | null
  /** Port of every node for its own registry, where the target has none to which images are pushed. */
  readonly registryPort: number
  /** True: nothing is changed on the cluster, and no image goes anywhere. */
  readonly dryRun: boolean
}

export interface Installed {
  /** Manifests as YAML. They hold passwords. */
  readonly manifests: string
  /** Reference by digest of the image that runs. */
  readonly image: string
  /** Name of the active pod; null for a dry run. */
  readonly active: string | null
  /** One-time claim code; null where somebody has claimed it, or for a dry run. */
  readonly claim: string | null
  /** What people should know of it. */
  readonly notes: readonly string[]
}

/** Puts this very version of the control plane on a cluster, or brings what is there to this version. */
export interface Installer {
  /**
   * Resolves once one server is active and the others stand by.
   * @throws FairwayError NOT_FOUND for an unknown target, CLUSTER_…, REGISTRY_FAILED, PACKAGE_UNAVAILABLE, TIMEOUT with what the pods say
   */
  install(request: InstallRequest, signal: AbortSignal): Promise<Installed>
}
