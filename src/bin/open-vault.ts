import { readFile } from 'node:fs/promises'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { EnvironmentValues } from '../model/secrets.ts'
import { VaultSource } from '../vault/vault-source.ts'
import type { VaultConfig } from './vault-config.ts'

export interface OpenVaultOptions {
  readonly config: VaultConfig | null
  readonly values: EnvironmentValues
  readonly clock: Clock
  readonly log: Log
}

/** Null where the server has no Vault. It need not answer now. */
export async function openVault(options: OpenVaultOptions): Promise<VaultSource | null> {
  const { config, values, clock, log } = options
  if (config === null) return null
  const { address, namespace, auth, rules, refreshSeconds } = config
  const source = new VaultSource({
    ...{ address, namespace, auth, rules, values, clock, log, fetch },
    refreshMs: refreshSeconds * 1000,
    readFile: (path) => readFile(path, 'utf8'),
    random: Math.random,
  })
  await source.begin()
  return source
}
