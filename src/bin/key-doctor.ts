import { homedir } from 'node:os'
import { silentLog } from '../lib/log.ts'
import { systemClock } from '../lib/clock.ts'
import { withAnyNames } from '../model/environment-rules.ts'
import { FairwayError } from '../model/errors.ts'
import type { HostCheck, HostDoctor } from '../model/host.ts'
import { keyNamed } from '../secrets/key-rules.ts'
import type { MasterKey } from '../sops/data-key.ts'
import type { KeySurroundings } from '../sops/keys/key-kind.ts'
import { textField } from '../sops/keys/key-names.ts'
import { SopsError } from '../sops/sops-error.ts'
import type { Config } from './config.ts'
import { openVaultReader } from './open-vault.ts'

type Configured = Pick<Config, 'keys' | 'vault'>
type Finding = Pick<HostCheck, 'status' | 'message'>

/** Adds to a doctor what it finds out about the keys of environments that are kept elsewhere: one line per key of a rule. */
export function withKeyChecks(doctor: HostDoctor, config: Configured): HostDoctor {
  return {
    check: async () => [...(await doctor.check()), ...(await keyChecks(config))],
    fix: async (say) => [...(await doctor.fix(say)), ...(await keyChecks(config))],
  }
}

/** Asks Vault what the server's login may do; of clouds whether there are credentials. Nothing is encrypted or decrypted. */
export async function keyChecks(config: Configured): Promise<readonly HostCheck[]> {
  const texts = [...new Set(config.keys.rules.flatMap(({ words }) => words))]
  const checks = texts.map(async (text) => {
    const key = keyNamed(withAnyNames(text))
    return key === null ? null : { ...(await finding(key, text, config)), text }
  })
  return (await Promise.all(checks))
    .filter((check) => check !== null)
    .map(({ status, message, text }) => ({
      ...{ name: 'key of environments', status, fix: null },
      message: `${text}: ${message}`,
    }))
}

async function finding(key: MasterKey, text: string, config: Configured): Promise<Finding> {
  try {
    if (key.type === 'hc_vault') return await vaultFinding(key, text, config)
    await cloudCredentials(key, config)
    return {
      status: 'ok',
      message: 'there are credentials; whether they may decrypt, a deploy shows',
    }
  } catch (error) {
    if (!(error instanceof FairwayError) && !(error instanceof SopsError)) throw error
    return { status: 'fail', message: error.message }
  }
}

async function vaultFinding(
  { names = {} }: MasterKey,
  text: string,
  { vault }: Configured,
): Promise<Finding> {
  if (vault === null) return { status: 'fail', message: 'there is no login: FAIRWAY_VAULT_AUTH' }
  const key = { mount: textField(names, 'engine_path'), name: textField(names, 'key_name') }
  const reader = openVaultReader({ config: vault, clock: systemClock, log: silentLog })
  if (await reader.mayDecrypt(key)) return { status: 'ok', message: 'the login may decrypt' }
  const isTemplate = withAnyNames(text) !== text
  return isTemplate
    ? {
        status: 'warn',
        message: 'the login works; for which apps it may decrypt, a deploy shows',
      }
    : {
        status: 'fail',
        message: `the login may not decrypt: its policy needs path "${key.mount}/decrypt/${key.name}" { capabilities = ["update"] }`,
      }
}

/** @throws SopsError KEY_FAILED where there are none */
async function cloudCredentials(
  { type, names = {} }: MasterKey,
  { keys }: Configured,
): Promise<void> {
  const surroundings: KeySurroundings = {
    ...{ env: keys.cloud, home: homedir(), fetch },
    now: () => systemClock.now(),
  }
  if (type === 'kms') {
    const { awsCredentials } = await import('../sops/keys/aws-credentials.ts')
    const region = textField(names, 'arn').split(':')[3] ?? ''
    await awsCredentials(surroundings, { profile: '', region })
  } else if (type === 'gcp_kms') {
    const { gcpToken } = await import('../sops/keys/gcp-credentials.ts')
    await gcpToken(surroundings)
  } else {
    const { azureToken } = await import('../sops/keys/azure-credentials.ts')
    await azureToken(surroundings, 'https://vault.azure.net')
  }
}
