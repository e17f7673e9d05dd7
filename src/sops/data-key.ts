import type { AgeIdentities } from './age-key.ts'
import { wrapForAge } from './age-key.ts'
import type { MetadataValue } from './document.ts'
import type { KeyType, WrappedKey } from './metadata.ts'
import { combine, split } from './shamir.ts'
import { SopsError } from './sops-error.ts'

export const DATA_KEY_BYTES = 32

/** A reader that a file is to have. */
export interface MasterKey {
  readonly type: KeyType
  /** What names it: an age recipient, a PGP fingerprint, an ARN… */
  readonly id: string
}

/** How each type is called where people read it. */
const NAMES: Readonly<Record<KeyType, string>> = {
  age: 'age',
  pgp: 'PGP',
  kms: 'AWS KMS',
  gcp_kms: 'GCP KMS',
  hckms: 'Huawei Cloud KMS',
  azure_kv: 'Azure Key Vault',
  hc_vault: 'HashiCorp Vault',
}
const ID_FIELDS: Readonly<Record<KeyType, string>> = {
  age: 'recipient',
  pgp: 'fp',
  kms: 'arn',
  gcp_kms: 'resource_id',
  hckms: 'key_id',
  azure_kv: 'vault_url',
  hc_vault: 'vault_address',
}

export function masterKeyOf({ type, fields }: WrappedKey): MasterKey {
  const id: MetadataValue | undefined = fields[ID_FIELDS[type]]
  return { type, id: typeof id === 'string' ? id : '' }
}

/** The data key of a file. @throws SopsError NO_KEY naming what the file is encrypted for, UNSUPPORTED where only other kinds of keys could open it */
export async function unwrapDataKey(
  groups: readonly (readonly WrappedKey[])[],
  threshold: number,
  identities: AgeIdentities,
): Promise<Buffer> {
  const parts: Buffer[] = []
  const needed = groups.length === 1 ? 1 : threshold === 0 ? groups.length : threshold
  for (const group of groups) {
    const part = parts.length < needed ? await openGroup(group, identities) : null
    if (part !== null) parts.push(part)
  }
  if (parts.length < needed) throw closed(groups, parts.length, needed)
  const [only] = parts
  const key = groups.length === 1 && only !== undefined ? only : combine(parts)
  if (key.length === DATA_KEY_BYTES) return key
  throw new SopsError(
    'INVALID_METADATA',
    `the data key has ${key.length} bytes, not ${DATA_KEY_BYTES}`,
  )
}

/** Wraps the data key for all readers, split among the groups where there are several. @throws SopsError UNSUPPORTED for any key that is not age's */
export async function wrapDataKey(
  dataKey: Buffer,
  groups: readonly (readonly MasterKey[])[],
  threshold: number,
  random: (bytes: number) => Buffer,
): Promise<WrappedKey[][]> {
  if (groups.length === 0 || groups.some((group) => group.length === 0)) {
    throw new SopsError('INVALID_KEY', 'a file needs at least one recipient in every key group')
  }
  const shares =
    groups.length === 1
      ? [dataKey]
      : split(
          dataKey,
          { parts: groups.length, threshold: threshold === 0 ? groups.length : threshold },
          random,
        )
  return Promise.all(
    groups.map((group, index) =>
      Promise.all(group.map((key) => wrap(key, shares[index] ?? Buffer.alloc(0)))),
    ),
  )
}

async function wrap({ type, id }: MasterKey, bytes: Buffer): Promise<WrappedKey> {
  if (type !== 'age') throw unsupported(type)
  return { type, fields: { recipient: id, enc: await wrapForAge(id, bytes) } }
}

async function openGroup(
  group: readonly WrappedKey[],
  identities: AgeIdentities,
): Promise<Buffer | null> {
  for (const { type, fields } of group) {
    const enc = fields['enc']
    if (type !== 'age' || typeof enc !== 'string') continue
    const opened = await identities.unwrap(enc)
    if (opened !== null) return opened
  }
  return null
}

function closed(
  groups: readonly (readonly WrappedKey[])[],
  opened: number,
  needed: number,
): SopsError {
  const keys = groups.flat().map(masterKeyOf)
  const other = keys.find(({ type }) => type !== 'age')
  if (other !== undefined && keys.every(({ type }) => type !== 'age'))
    return unsupported(other.type)
  const names = keys.map(({ type, id }) => `${NAMES[type]} ${id}`).join(', ')
  const groupsText = needed > 1 ? ` (${opened} of ${needed} key groups opened)` : ''
  return new SopsError(
    'NO_KEY',
    `no identity here opens the file${groupsText}; it is encrypted for ${names}`,
  )
}

function unsupported(type: KeyType): SopsError {
  return new SopsError('UNSUPPORTED', `keys of ${NAMES[type]} are not supported yet; use age`)
}
