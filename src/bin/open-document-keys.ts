import { homedir } from 'node:os'
import type { Clock } from '../model/clock.ts'
import type { EnvironmentKeys, TransitKeys } from '../model/secrets.ts'
import { DocumentKeys, transitOpener } from '../secrets/document-keys.ts'
import { cloudKeys } from '../secrets/keyring.ts'
import type { KeyConfig } from './key-config.ts'

export interface OpenDocumentKeysOptions {
  readonly config: KeyConfig
  /** Keys that this server makes. */
  readonly own: EnvironmentKeys
  /** Null = the server has no Vault, and no rule names a key there. */
  readonly transit: TransitKeys | null
  readonly clock: Clock
}

/** Whom files of environments are encrypted for, as configured. No service is asked before a file needs it. */
export function openDocumentKeys({
  config: { rules, cloud },
  own,
  transit,
  clock,
}: OpenDocumentKeysOptions): DocumentKeys {
  const clouds = cloudKeys({ env: cloud, home: homedir(), fetch, now: () => clock.now() })
  const vault = transit === null ? [] : [transitOpener(transit)]
  return new DocumentKeys({ own, rules, services: [...vault, ...clouds] })
}
