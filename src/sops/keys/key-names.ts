/** How keys are named: as one text (a creation rule, the command line) and as fields of the `sops` block. */
import type { MetadataObject } from '../document.ts'
import type { KeyType } from '../metadata.ts'
import { SopsError } from '../sops-error.ts'

/** How each type is called where people read it. */
export const KIND_NAMES: Readonly<Record<KeyType, string>> = {
  age: 'age',
  pgp: 'PGP',
  kms: 'AWS KMS',
  gcp_kms: 'GCP KMS',
  hckms: 'Huawei Cloud KMS',
  azure_kv: 'Azure Key Vault',
  hc_vault: 'HashiCorp Vault',
}

const ARN =
  /^(arn:aws[\w-]*:kms:[a-z0-9-]+:\d+:(?:key|alias)\/[\w/-]+)(?:\+(arn:aws[\w-]*:iam::.+))?$/
const GCP = /^projects\/[\w.:-]+\/locations\/[\w-]+\/keyRings\/[\w-]+\/cryptoKeys\/[\w-]+$/
const AZURE = /^(https:\/\/[^/?#@\s]+)\/keys\/([\w-]+)(?:\/(\w*))?$/
const VAULT = /^(https?:\/\/[^/?#@\s]+)\/v1\/([^?#\s]+)\/keys\/([^/?#\s]+)\/?$/

/** The fields that name a key of a text. @throws SopsError INVALID_KEY for a text that names none */
export function namesOf(type: KeyType, id: string): MetadataObject {
  const names = READERS[type](id)
  if (names !== null) return names
  const shown = JSON.stringify(id.slice(0, 120))
  throw new SopsError('INVALID_KEY', `${shown} names no key of ${KIND_NAMES[type]}`)
}

const READERS: Readonly<Record<KeyType, (id: string) => MetadataObject | null>> = {
  age: (recipient) => ({ recipient }),
  hckms: (key_id) => ({ key_id }),
  gcp_kms: (resource_id) => (GCP.test(resource_id) ? { resource_id } : null),
  pgp: (id) => {
    const fp = id.replaceAll(/\s/g, '').toUpperCase()
    return /^([0-9A-F]{40}|[0-9A-F]{64}|[0-9A-F]{16})$/.test(fp) ? { fp } : null
  },
  kms: (id) => {
    const [, arn, role] = ARN.exec(id.replaceAll(' ', '')) ?? []
    if (arn === undefined) return null
    return { arn, ...(role === undefined ? {} : { role }), aws_profile: '' }
  },
  azure_kv: (id) => {
    const [, vault_url, name, version = ''] = AZURE.exec(id) ?? []
    return vault_url === undefined || name === undefined ? null : { vault_url, name, version }
  },
  hc_vault: (id) => {
    const [, vault_address, engine_path, key_name] = VAULT.exec(id) ?? []
    return vault_address === undefined || engine_path === undefined || key_name === undefined
      ? null
      : { vault_address, engine_path, key_name }
  },
}

/** The text of what stands in a file; a field that is absent is left out. */
export function idOf(type: KeyType, fields: MetadataObject): string {
  const text = (name: string): string => textField(fields, name)
  switch (type) {
    case 'age':
      return text('recipient')
    case 'pgp':
      return text('fp')
    case 'kms':
      return [text('arn'), text('role')].filter((part) => part !== '').join('+')
    case 'gcp_kms':
      return text('resource_id')
    case 'azure_kv': {
      const version = text('version')
      const url = text('vault_url').replace(/\/$/, '')
      return `${url}/keys/${text('name')}${version === '' ? '' : `/${version}`}`
    }
    case 'hc_vault':
      return `${text('vault_address')}/v1/${text('engine_path')}/keys/${text('key_name')}`
    case 'hckms':
      return text('key_id')
  }
}

/** The type that a text of the command line names. @throws SopsError INVALID_KEY */
export function typeOfId(id: string): KeyType {
  if (/^(age1|ssh-)/.test(id)) return 'age'
  if (id.startsWith('arn:')) return 'kms'
  if (id.startsWith('projects/')) return 'gcp_kms'
  if (/^https?:\/\/[^/]+\/v1\//.test(id)) return 'hc_vault'
  if (id.startsWith('https://')) return 'azure_kv'
  if (/^[0-9A-Fa-f\s]{16,}$/.test(id)) return 'pgp'
  throw new SopsError(
    'INVALID_KEY',
    `${JSON.stringify(id.slice(0, 80))} is no recipient: neither of age (age1…, ssh-ed25519 …), nor a PGP fingerprint, an ARN of KMS, or a key of GCP, Azure or Vault`,
  )
}

/** A field as text, empty where it is absent. */
export function textField(fields: MetadataObject, name: string): string {
  const value = fields[name]
  return typeof value === 'string' ? value : ''
}
