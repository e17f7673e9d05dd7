import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OpenBao } from '../openbao.ts'
import { openLogin } from './vault-bed.ts'

export interface TransitBed {
  readonly bao: OpenBao
  /** Variables of a server that may decrypt with the key `shop` alone, as the key of the environment production of the app vault. */
  readonly env: Readonly<Record<string, string>>
  /** How such keys are named in files: by an address at which the server does not ask. */
  recipient(name: string): string
  /** Lets the server's login decrypt with these keys, and with no other. */
  allow(...names: readonly string[]): Promise<void>
  remove(): Promise<void>
}

/** A real OpenBao with the transit keys `shop` and `other`. */
export async function openTransitBed(): Promise<TransitBed> {
  const home = await mkdtemp(join(tmpdir(), 'fairway-transit-'))
  const bao = await OpenBao.open(join(home, 'bao'))
  const remove = async (): Promise<void> => {
    await bao.kill()
    await rm(home, { recursive: true, force: true })
  }
  try {
    await bao.call('POST', 'sys/mounts/transit', { type: 'transit' })
    for (const name of ['shop', 'other']) await bao.call('POST', `transit/keys/${name}`, {})
    const secretIdFile = join(home, 'secret-id')
    const roleId = await openLogin(bao, { secretIdFile, policy: policyFor(['shop', 'other']) })
    const recipient = (name: string): string => `${bao.address}/v1/transit/keys/${name}`
    return {
      bao,
      remove,
      recipient,
      env: {
        FAIRWAY_VAULT_ADDR: bao.address,
        FAIRWAY_VAULT_AUTH: 'approle',
        FAIRWAY_VAULT_ROLE: roleId,
        FAIRWAY_VAULT_SECRET_ID_FILE: secretIdFile,
        FAIRWAY_SECRETS_KEYS: `vault/production=${recipient('shop')}`,
      },
      allow: async (...names) => {
        await bao.call('PUT', 'sys/policies/acl/fairway', { policy: policyFor(names) })
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

function policyFor(names: readonly string[]): string {
  return names
    .map((name) => `path "transit/decrypt/${name}" { capabilities = ["update"] }\n`)
    .join('')
}
