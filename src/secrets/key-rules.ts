import {
  filledIn,
  isRuleFor,
  parseEnvironmentRules,
  withAnyNames,
  type EnvironmentRule,
} from '../model/environment-rules.ts'
import type { AppRef } from '../model/names.ts'
import type { MasterKey } from '../sops/data-key.ts'
import { namesOf, textField, typeOfId } from '../sops/keys/key-names.ts'
import { SopsError } from '../sops/sops-error.ts'

/** Which keys (`words`) the server opens the files of one or more environments with; the first is the one that authors are told. */
export type KeyRule = EnvironmentRule

/** The key that the server makes for each environment. */
export const OWN_KEY = 'age'
const KINDS: readonly string[] = ['hc_vault', 'kms', 'gcp_kms', 'azure_kv']

/**
 * `shop/production=https://vault.example.com/v1/transit/keys/shop; *\/staging=arn:aws:kms:… age`
 * @returns the rules, or in words what is wrong with the first one that is
 */
export function parseKeyRules(text: string): readonly KeyRule[] | string {
  return parseEnvironmentRules(text, 'KEY', refusal)
}

/** Keys by the first rule that is for this environment, as they are written; by none: the server's own. */
export function keyTexts(rules: readonly KeyRule[], ref: AppRef): readonly string[] {
  const rule = rules.find((each) => isRuleFor(each, ref))
  return rule?.words.map((word) => filledIn(word, ref)) ?? [OWN_KEY]
}

/** Null for the server's own key. @throws SopsError INVALID_KEY */
export function keyNamed(text: string): MasterKey | null {
  if (text === OWN_KEY) return null
  const type = typeOfId(text)
  return { type, id: text, names: namesOf(type, text) }
}

function refusal(word: string): string | null {
  // Names have - in them: app a-b in environment c and app a in b-c would share a key.
  if (/\}-*\{/.test(word)) return 'expected something else than - between {app} and {environment}'
  const form = `expected ${OWN_KEY}, or a key of Vault (https://HOST/v1/MOUNT/keys/NAME), AWS KMS, GCP KMS or Azure Key Vault`
  try {
    const key = keyNamed(withAnyNames(word))
    return key === null || isUsable(key) ? null : form
  } catch (error) {
    if (error instanceof SopsError) return form
    throw error
  }
}

function isUsable({ type, names = {} }: MasterKey): boolean {
  if (type !== 'hc_vault') return KINDS.includes(type)
  const path = `${textField(names, 'engine_path')}/${textField(names, 'key_name')}`
  return path.split('/').every((part) => /^[\w.-]+$/.test(part) && !/^\.+$/.test(part))
}
