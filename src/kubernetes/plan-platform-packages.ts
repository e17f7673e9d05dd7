import type { KubeObject } from './object.ts'
import { object, type PlatformPlan } from './plan-platform.ts'

/** Where servers of the installation get packages for bakes. */
export interface PlatformPackages {
  /** Environment of package managers: `npm_config_registry` and the like, as pods of the cluster reach them. */
  readonly env: Readonly<Record<string, string>>
  /** Files of apt's folder of sources, by name; none = no Debian packages. */
  readonly apt: Readonly<Record<string, string>>
}

/** Where apt looks for sources, and with it whatever reads its configuration. */
export const APT_FOLDER = '/etc/apt/sources.list.d'
const APT = 'fairway-apt'

/** Nothing in it is a secret: addresses and public keys. */
export function packagesConfig(plan: PlatformPlan): KubeObject {
  return object(plan, 'v1', 'ConfigMap', APT, { data: plan.packages.apt })
}

export function packagesVolume(): unknown {
  return { name: 'apt', configMap: { name: APT } }
}

export function packagesMount(): unknown {
  return { name: 'apt', mountPath: APT_FOLDER, readOnly: true }
}
