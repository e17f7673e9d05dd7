import { readFile } from 'node:fs/promises'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { EnvironmentValues } from '../model/secrets.ts'
import { VaultClient } from '../vault/vault-client.ts'
import { VaultLogin } from '../vault/vault-login.ts'
import { VaultReader } from '../vault/vault-reader.ts'
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
    readFile: readText,
    random: Math.random,
  })
  await source.begin()
  return source
}

/** The same login for a few questions: it is not kept. */
export function openVaultReader(options: {
  readonly config: VaultConfig
  readonly clock: Clock
  readonly log: Log
}): VaultReader {
  const { config, clock, log } = options
  const { address, namespace, auth } = config
  const client = new VaultClient({ address, namespace, fetch })
  const login = new VaultLogin({
    ...{ client, auth, readFile: readText, clock, log, random: Math.random },
    onNew: () => undefined,
  })
  return new VaultReader({ client, login, now: () => clock.now() })
}

function readText(path: string): Promise<string> {
  return readFile(path, 'utf8')
}
