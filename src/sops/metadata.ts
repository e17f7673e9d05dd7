import type { MetadataObject, MetadataValue } from './document.ts'
import { DEFAULT_SELECTOR, selectorOf, type Selector } from './selector.ts'
import { SopsError } from './sops-error.ts'

export const KEY_TYPES = ['kms', 'gcp_kms', 'hckms', 'azure_kv', 'hc_vault', 'pgp', 'age'] as const
export type KeyType = (typeof KEY_TYPES)[number]

/** A copy of the data key (or of a share of it), wrapped for one reader. */
export interface WrappedKey {
  readonly type: KeyType
  /** As it stands in the file: `enc` and what names the key (`recipient`, `fp`, `arn`…). */
  readonly fields: MetadataObject
}

/** The `sops` block. */
export interface Metadata {
  /** One group: any of its keys opens the file. More: the data key is split among them by Shamir. */
  readonly groups: readonly (readonly WrappedKey[])[]
  /** 0 where not set: all groups are needed. */
  readonly threshold: number
  readonly selector: Selector
  readonly macOnlyEncrypted: boolean
  /** RFC 3339; authenticated together with the MAC. */
  readonly lastModified: string
  readonly mac: string
  readonly version: string
}

/** Reads a `sops` block (stores/stores.go ToInternal). @throws SopsError INVALID_METADATA naming the field */
export function parseMetadata(raw: unknown): Metadata {
  const fields = objectAt(raw, 'sops')
  const groups = groupsOf(fields)
  const mac = textAt(fields, 'mac')
  const lastModified = textAt(fields, 'lastmodified')
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/.test(lastModified)) {
    throw new SopsError('INVALID_METADATA', 'sops.lastmodified is no RFC 3339 time')
  }
  return {
    groups,
    threshold: thresholdOf(fields['shamir_threshold']),
    selector: selectorOf(fields) ?? DEFAULT_SELECTOR,
    macOnlyEncrypted: isTrue(fields['mac_only_encrypted']),
    lastModified,
    mac,
    version: typeof fields['version'] === 'string' ? fields['version'] : '',
  }
}

/** The `sops` block to write. */
export function metadataObject(metadata: Metadata): MetadataObject {
  const [first] = metadata.groups
  const keys: MetadataObject =
    metadata.groups.length === 1 && first !== undefined
      ? listsOf(first, false)
      : { key_groups: metadata.groups.map((group) => listsOf(group, true)) }
  const all: Record<string, MetadataValue> = {
    ...keys,
    lastmodified: metadata.lastModified,
    mac: metadata.mac,
    [metadata.selector.name]: metadata.selector.value,
    version: metadata.version,
  }
  if (metadata.threshold > 0) all['shamir_threshold'] = metadata.threshold
  if (metadata.macOnlyEncrypted) all['mac_only_encrypted'] = true
  return Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function groupsOf(fields: Readonly<Record<string, unknown>>): WrappedKey[][] {
  const single = keysOf(fields, 'sops')
  if (single.length > 0) return [single]
  const groups = listAt(fields['key_groups'], 'sops.key_groups')
  const read = groups.map((group, index) => {
    const at = `sops.key_groups[${index}]`
    return keysOf(objectAt(group, at), at)
  })
  if (read.length > 0) return read
  throw new SopsError('INVALID_METADATA', 'the sops block names no key')
}

function keysOf(fields: Readonly<Record<string, unknown>>, at: string): WrappedKey[] {
  return KEY_TYPES.flatMap((type) =>
    listAt(fields[type], `${at}.${type}`).map((entry, index) => {
      const where = `${at}.${type}[${index}]`
      const key = objectAt(entry, where)
      textAt(key, 'enc', where)
      return { type, fields: plainObject(key, where) }
    }),
  )
}

function listsOf(group: readonly WrappedKey[], inGroup: boolean): MetadataObject {
  const lists: Record<string, MetadataValue> = {}
  for (const type of KEY_TYPES.toSorted()) {
    const keys = group.filter((key) => key.type === type).map(({ fields }) => fields)
    // sops writes these two lists of a group even where they are empty.
    if (keys.length > 0 || (inGroup && (type === 'age' || type === 'hc_vault'))) lists[type] = keys
  }
  return lists
}

function plainObject(fields: Readonly<Record<string, unknown>>, at: string): MetadataObject {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => {
      if (value === null) return []
      return [[name, plainValue(value, `${at}.${name}`)]]
    }),
  )
}

function plainValue(value: unknown, at: string): MetadataValue {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value
  return plainObject(objectAt(value, at), at)
}

function objectAt(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.fromEntries(Object.entries(value))
  }
  throw new SopsError('INVALID_METADATA', `${at} must be a map`)
}

function listAt(value: unknown, at: string): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value
  throw new SopsError('INVALID_METADATA', `${at} must be a list`)
}

function textAt(fields: Readonly<Record<string, unknown>>, name: string, at = 'sops'): string {
  const value = fields[name]
  if (typeof value === 'string' && value !== '') return value
  throw new SopsError('INVALID_METADATA', `${at}.${name} must be text`)
}

/** Flat formats hold every field as text. */
function thresholdOf(value: unknown): number {
  const number = value === undefined || value === null ? 0 : Number(value)
  if (Number.isInteger(number) && number >= 0 && number < 256) return number
  throw new SopsError('INVALID_METADATA', 'sops.shamir_threshold must be a small number')
}

function isTrue(value: unknown): boolean {
  if (value === undefined || value === false || value === 'false') return false
  if (value === true || value === 'true') return true
  throw new SopsError('INVALID_METADATA', 'sops.mac_only_encrypted must be true or false')
}
