import { lookup } from 'node:dns/promises'
import { KubernetesClusters } from '../kubernetes/clusters.ts'
import { fingerprints } from '../kubernetes/fingerprints.ts'
import type { PullSecret } from '../kubernetes/plan-settings.ts'
import type { Secret } from '../model/secrets.ts'
import type { Clusters } from '../model/targets.ts'
import { metricsOf } from '../reconcile/target-metrics.ts'
import { registryOf } from '../reconcile/target-registry.ts'
import type { TargetOptions } from './open-targets.ts'
import { podDoors } from './pod-door.ts'
import { imageReference } from './release-images.ts'
import { packageVersion } from './version.ts'

export interface ClusterOptions extends Pick<
  TargetOptions,
  'clock' | 'log' | 'defaultHost' | 'inCluster' | 'podDoor'
> {
  readonly owner: string
  /** The installation's key. */
  readonly key: Secret
}

const PULL_SECRET = 'fairway-pull'

/** Clusters as targets: images named and pulled as each target's registry says. */
export function openClusters(options: ClusterOptions): Clusters {
  const { owner, key, clock, log, defaultHost, inCluster, podDoor } = options
  return new KubernetesClusters({
    owner,
    clock,
    defaultHost,
    fingerprint: fingerprints(key),
    random: Math.random,
    logOf: () => log,
    userAgent: `fairway/${packageVersion()}`,
    imageOf:
      ({ settings }) =>
      (digest, ref) =>
        imageReference(registryOf(settings), digest, ref),
    pullSecret: ({ settings }) => pullSecret(settings),
    metrics: ({ settings }) => metricsOf(settings),
    fetch: globalThis.fetch,
    podDoor: podDoors({ ...podDoor, owner, lookup: addressesOf }),
    ...(inCluster === undefined ? {} : { inCluster }),
  })
}

async function addressesOf(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address)
}

/** A `.dockerconfigjson` with the login for pulling from the registry's host; null where nobody has to log in. */
export function pullSecret(settings: Readonly<Record<string, string>>): PullSecret | null {
  const registry = registryOf(settings)
  if (registry === null) return null
  const { name } = registry
  const { user, password } = registry.pull ?? registry
  if (user === null || password === null) return null
  const auth = Buffer.from(`${user}:${password}`).toString('base64')
  const host = name.split('/')[0] ?? name
  const auths = { [host]: { username: user, password, auth } }
  return { name: PULL_SECRET, dockerConfigJson: JSON.stringify({ auths }) }
}
