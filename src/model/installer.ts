import type { TargetName } from './names.ts'

/** What an operator sets of a server: secrets may be among them. */
export interface PlatformSettings {
  /** Values by the names of variables, as docs/operating.md lists them. */
  readonly variables: Readonly<Record<string, string>>
  /** Contents of files, by the name of the variable that leads to each. */
  readonly files: Readonly<Record<string, string>>
}

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
  /** Port of every node for kubectl and pods, called by the first of `hosts`; null = inside of the cluster alone. */
  readonly accessNodePort: number | null
  /** Port of every node for its own registry, where the target has none to which images are pushed. */
  readonly registryPort: number
  /** Where build steps get npm packages from, as pods reach it; null = where this server gets its own. */
  readonly npmRegistry: string | null
  /** The same for Python packages: the URL of an index (PEP 503). */
  readonly pipIndex: string | null
  /** The same for Debian packages, in the words of sources.list(5); null = where this server's host gets its own. */
  readonly aptSources: string | null
  /** Settings of its servers; null = as they are, none at first. */
  readonly settings: PlatformSettings | null
  /** Set: a program on every node reports the provider's notices; `metadataUrl` null = where the provider has it. */
  readonly notices: { readonly source: 'aws'; readonly metadataUrl: string | null } | null
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

export interface UninstallRequest {
  readonly target: TargetName
  readonly namespace: string
  /** True: its disks too. */
  readonly data: boolean
  readonly dryRun: boolean
}

export interface PlatformRemains {
  /** Objects that are being removed: 'Deployment fairway'. */
  readonly removed: readonly string[]
  /** What is left on the cluster, and what that means. */
  readonly stays: readonly { readonly what: string; readonly why: string }[]
}

/** Puts this very version of the control plane on a cluster, or brings what is there to this version. */
export interface Installer {
  /**
   * Resolves once one server is active and the others stand by.
   * @throws FairwayError NOT_FOUND for an unknown target, CLUSTER_…, REGISTRY_FAILED, PACKAGE_UNAVAILABLE, TIMEOUT with what the pods say
   */
  install(request: InstallRequest, signal: AbortSignal): Promise<Installed>
  /**
   * Removes what this installation put there; apps go on running.
   * @throws FairwayError NOT_FOUND for an unknown target or where there is no control plane, CLUSTER_CONFLICT where somebody else installed it, CLUSTER_…
   */
  uninstall(request: UninstallRequest): Promise<PlatformRemains>
}
