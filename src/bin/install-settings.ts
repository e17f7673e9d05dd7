import { givenVariables } from '../kubernetes/plan-platform-settings.ts'
import { FairwayError } from '../model/errors.ts'
import type { PlatformSettings } from '../model/installer.ts'
import { readConfig } from './config.ts'
import { CLOUD_VARIABLES, KEY_VARIABLES } from './key-config.ts'
import { LOGIN_VARIABLES } from './login-config.ts'
import { VAULT_VARIABLES } from './vault-config.ts'

/** What a control plane on a cluster is told by whoever installs it; all else follows from the cluster and the other options. */
const NAMES: ReadonlySet<string> = new Set([
  ...Object.keys({ ...LOGIN_VARIABLES, ...VAULT_VARIABLES, ...KEY_VARIABLES }),
  ...Object.values(CLOUD_VARIABLES).flat(),
  'FAIRWAY_AUDIT_KEPT_DAYS',
  'FAIRWAY_COLLECT_GRACE_MINUTES',
  'FAIRWAY_LOG_LEVEL',
  'FAIRWAY_RELEASES_KEPT',
  'FAIRWAY_SVID_MINUTES',
  'NODE_EXTRA_CA_CERTS',
])

/** The settings as they were given. @throws FairwayError INVALID_REQUEST naming every variable that is not passed on, or that a server would refuse; never with a value */
export function checkedSettings(settings: PlatformSettings): PlatformSettings {
  const others = Object.keys({ ...settings.variables, ...settings.files }).filter(
    (name) => !NAMES.has(name),
  )
  if (others.length > 0)
    throw new FairwayError(
      'INVALID_REQUEST',
      `install does not pass on ${others.join(', ')}: no setting of a control plane on a cluster`,
      { hint: `It passes on ${[...NAMES].sort().join(', ')}.` },
    )
  readConfig({ FAIRWAY_DATA_DIR: '/', ...givenVariables(settings) })
  return settings
}
