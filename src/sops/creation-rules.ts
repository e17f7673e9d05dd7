import { parse } from 'yaml'
import type { MasterKey } from './data-key.ts'
import { goRegex } from './go-regex.ts'
import type { KeyType } from './metadata.ts'
import { namesOf } from './keys/key-names.ts'
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
const MAX_DEPTH = 20

type Fields = Readonly<Record<string, unknown>>

/** What a rule calls a key that is named by one text. */
export function ruleNameOf(type: KeyType): string {
  if (type === 'hc_vault') return 'hc_vault_transit_uri'
  return Object.keys(TYPES).find((name) => TYPES[name] === type) ?? type
}

export interface CreationRule extends FileRule {
  /** It names no path: it says how files are encrypted, not which ones must be. */
  readonly isForAll: boolean
  readonly indents: Indents
}

/** Spaces per level of what is written anew (`stores`); null: sops's own, four in YAML and a tab in JSON. */
export interface Indents {
  readonly yaml: number | null
  readonly json: number | null
  readonly binary: number | null
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
    return {
      ...fileRule(rule, at),
      isForAll: pattern === '',
      indents: indentsAt(document['stores']),
    }
  }
  return null
}

function fileRule(rule: Fields, at: string): FileRule {
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

/** Keys of a rule or group; those of `merge` come first and no key stands twice (config.go extractMasterKeys). */
function keysOf(rule: Fields, at: string, depth = 0): MasterKey[] {
  const merged = listAt(rule['merge'], `${at}.merge`).flatMap((group, index) => {
    if (depth > MAX_DEPTH) throw new SopsError('INVALID_RULES', `${at}.merge is nested too deeply`)
    return keysOf(mapAt(group, `${at}.merge[${index}]`), at, depth + 1)
  })
  const profile = rule['aws_profile']
  const own = Object.entries(TYPES).flatMap(([name, type]) =>
    keysIn(rule[name], type, `${at}.${name}`).map((key) =>
      type === 'kms' && typeof profile === 'string'
        ? { ...key, names: { ...key.names, aws_profile: profile } }
        : key,
    ),
  )
  const unique = new Map([...merged, ...own].map((key) => [`${key.type} ${key.id}`, key]))
  return [...unique.values()]
}

function keysIn(value: unknown, type: KeyType, at: string): MasterKey[] {
  if (typeof value === 'string')
    return value.split(',').flatMap((id) => (id.trim() === '' ? [] : [keyOf(type, id.trim(), at)]))
  return listAt(value, at).flatMap((entry, index) =>
    typeof entry === 'string'
      ? keysIn(entry, type, at)
      : [keyOfMap(mapAt(entry, `${at}[${index}]`), type, `${at}[${index}]`)],
  )
}

function keyOf(type: KeyType, id: string, at: string): MasterKey {
  try {
    return { type, id, names: namesOf(type, id) }
  } catch (cause) {
    if (!(cause instanceof SopsError)) throw cause
    throw new SopsError('INVALID_RULES', `${at}: ${cause.message}`, cause)
  }
}

/** The forms that a text cannot hold: `arn` with role, context and profile; a vault of Azure; ids as maps. */
function keyOfMap(fields: Fields, type: KeyType, at: string): MasterKey {
  const text = (name: string): string => {
    const value = fields[name] ?? ''
    if (typeof value === 'string') return value
    throw new SopsError('INVALID_RULES', `${at}.${name} must be text`)
  }
  if (type === 'azure_kv') {
    const version = text('version')
    const url = text('vaultUrl').replace(/\/$/, '')
    return keyOf(type, `${url}/keys/${text('key')}${version === '' ? '' : `/${version}`}`, at)
  }
  if (type !== 'kms') return keyOf(type, text('resource_id') || text('key_id'), at)
  const role = text('role')
  const key = keyOf(type, role === '' ? text('arn') : `${text('arn')}+${role}`, at)
  const context = contextAt(fields['context'], `${at}.context`)
  return {
    ...key,
    names: {
      ...key.names,
      ...(context === null ? {} : { context }),
      aws_profile: text('aws_profile'),
    },
  }
}

function contextAt(value: unknown, at: string): Record<string, string> | null {
  if (value === undefined || value === null) return null
  return Object.fromEntries(
    Object.entries(mapAt(value, at)).map(([name, each]) => {
      if (typeof each === 'string') return [name, each]
      throw new SopsError('INVALID_RULES', `${at}.${name} must be text`)
    }),
  )
}

function indentsAt(value: unknown): Indents {
  const stores = value === undefined || value === null ? {} : mapAt(value, '.sops.yaml: stores')
  const indent = (name: string): number | null => {
    const given = mapAt(stores[name] ?? {}, `.sops.yaml: stores.${name}`)['indent'] ?? null
    if (given === null || given === -1) return null
    if (typeof given === 'number' && Number.isInteger(given) && given >= 0 && given <= 16)
      return given
    throw new SopsError(
      'INVALID_RULES',
      `.sops.yaml: stores.${name}.indent must be a number up to 16`,
    )
  }
  // go-yaml takes 0 for its own default.
  const yaml = indent('yaml')
  return { yaml: yaml === 0 ? null : yaml, json: indent('json'), binary: indent('json_binary') }
}

function listAt(value: unknown, at: string): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value
  throw new SopsError('INVALID_RULES', `${at} must be text or a list`)
}

function parsed(text: string): unknown {
  try {
    return parse(text, { logLevel: 'error' })
  } catch (cause) {
    throw new SopsError('INVALID_RULES', '.sops.yaml is no YAML', cause)
  }
}

function mapAt(value: unknown, at: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.fromEntries(Object.entries(value))
  }
  throw new SopsError('INVALID_RULES', `${at} must be a map`)
}
