import { parse } from 'yaml'
import type { MasterKey } from './data-key.ts'
import { goRegex } from './go-regex.ts'
import type { KeyType } from './metadata.ts'
import { DEFAULT_SELECTOR, selectorOf } from './selector.ts'
import { SopsError } from './sops-error.ts'
import type { FileRule } from './sops-file.ts'

/** Key of a rule -> type of key. */
const TYPES: Readonly<Record<string, KeyType>> = {
  kms: 'kms',
  gcp_kms: 'gcp_kms',
  azure_keyvault: 'azure_kv',
  hc_vault: 'hc_vault',
  hc_vault_transit_uri: 'hc_vault',
  hckms: 'hckms',
  pgp: 'pgp',
  age: 'age',
}
const ID_FIELDS = ['arn', 'resource_id', 'vaultUrl', 'key_id'] as const

export interface CreationRule extends FileRule {
  /** It names no path: it says how files are encrypted, not which ones must be. */
  readonly isForAll: boolean
}

/**
 * The rule of a `.sops.yaml` for a file: the first one whose `path_regex` matches. @param path relative to the folder of `.sops.yaml`, with `/`
 * @returns null where no rule matches
 * @throws SopsError INVALID_RULES
 */
export function creationRule(rules: string, path: string): CreationRule | null {
  const document = mapAt(parsed(rules), '.sops.yaml')
  const list = document['creation_rules'] ?? []
  if (!Array.isArray(list))
    throw new SopsError('INVALID_RULES', '.sops.yaml: creation_rules must be a list')
  for (const [index, entry] of list.entries()) {
    const at = `.sops.yaml: creation_rules[${index}]`
    const rule = mapAt(entry, at)
    const pattern = rule['path_regex'] ?? ''
    if (typeof pattern !== 'string')
      throw new SopsError('INVALID_RULES', `${at}.path_regex must be text`)
    if (pattern !== '' && !goRegex(pattern).test(path)) continue
    return { ...fileRule(rule, at), isForAll: pattern === '' }
  }
  return null
}

function fileRule(rule: Readonly<Record<string, unknown>>, at: string): FileRule {
  const threshold = rule['shamir_threshold'] ?? 0
  if (typeof threshold !== 'number' || !Number.isInteger(threshold) || threshold < 0) {
    throw new SopsError('INVALID_RULES', `${at}.shamir_threshold must be a number`)
  }
  const groups = rule['key_groups']
  const read = Array.isArray(groups)
    ? groups.map((group, index) => keysOf(mapAt(group, `${at}.key_groups[${index}]`), at))
    : [keysOf(rule, at)]
  return {
    groups: read,
    threshold,
    selector: selectorOf(rule) ?? DEFAULT_SELECTOR,
    macOnlyEncrypted: rule['mac_only_encrypted'] === true,
  }
}

function keysOf(rule: Readonly<Record<string, unknown>>, at: string): MasterKey[] {
  if (rule['merge'] !== undefined)
    throw new SopsError('UNSUPPORTED', `${at}: merge of key groups is not supported`)
  return Object.entries(TYPES).flatMap(([name, type]) =>
    idsOf(rule[name], `${at}.${name}`).map((id) => ({ type, id })),
  )
}

function idsOf(value: unknown, at: string): string[] {
  if (value === undefined || value === null) return []
  if (typeof value === 'string')
    return value.split(',').flatMap((id) => (id.trim() === '' ? [] : [id.trim()]))
  if (!Array.isArray(value)) throw new SopsError('INVALID_RULES', `${at} must be text or a list`)
  return value.flatMap((entry: unknown, index) => {
    if (typeof entry === 'string') return idsOf(entry, at)
    const fields = mapAt(entry, `${at}[${index}]`)
    const id = ID_FIELDS.map((name) => fields[name]).find((each) => typeof each === 'string')
    return [typeof id === 'string' ? id : '']
  })
}

function parsed(text: string): unknown {
  try {
    return parse(text)
  } catch (cause) {
    throw new SopsError('INVALID_RULES', '.sops.yaml is no YAML', cause)
  }
}

function mapAt(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.fromEntries(Object.entries(value))
  }
  throw new SopsError('INVALID_RULES', `${at} must be a map`)
}
