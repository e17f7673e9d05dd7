import { z } from 'zod'
import { environmentRulesText, withAnyNames } from '../model/environment-rules.ts'
import { keyNamed, parseKeyRules, type KeyRule } from '../secrets/key-rules.ts'
import type { Environment } from './environment.ts'

/** The keys of environments that the server does not make itself, as configured. Nothing here has been asked whether it is right. */
export interface KeyConfig {
  readonly rules: readonly KeyRule[]
  /** Variables that lead to the credentials of the clouds that rules name; some are secrets. */
  readonly cloud: Readonly<Record<string, string>>
}

export const NO_KEYS: KeyConfig = { rules: [], cloud: {} }

/** Variables of `config.ts` that are about keys of environments. */
export const KEY_VARIABLES = {
  FAIRWAY_SECRETS_KEYS: z
    .string()
    .default('')
    .transform((text, context) => {
      const rules = parseKeyRules(text)
      if (typeof rules !== 'string') return rules
      context.addIssue(rules)
      return z.NEVER
    }),
} as const

type Values = z.output<z.ZodObject<typeof KEY_VARIABLES>>

/** What `sops/keys/*-credentials.ts` look at, by the kind of key that needs it. */
export const CLOUD_VARIABLES: Readonly<Record<string, readonly string[]>> = {
  kms: [
    'AWS_ACCESS_KEY_ID',
    'AWS_SECRET_ACCESS_KEY',
    'AWS_SESSION_TOKEN',
    'AWS_PROFILE',
    'AWS_SHARED_CREDENTIALS_FILE',
    'AWS_CONFIG_FILE',
    'AWS_WEB_IDENTITY_TOKEN_FILE',
    'AWS_ROLE_ARN',
    'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
    'AWS_ENDPOINT_URL',
    'AWS_ENDPOINT_URL_KMS',
    'AWS_ENDPOINT_URL_STS',
  ],
  gcp_kms: [
    'GOOGLE_CREDENTIALS',
    'GOOGLE_OAUTH_ACCESS_TOKEN',
    'GOOGLE_APPLICATION_CREDENTIALS',
    'GCE_METADATA_HOST',
    'SOPS_GCP_KMS_ENDPOINT',
  ],
  azure_kv: [
    'AZURE_TENANT_ID',
    'AZURE_CLIENT_ID',
    'AZURE_CLIENT_SECRET',
    'AZURE_FEDERATED_TOKEN_FILE',
    'AZURE_AUTHORITY_HOST',
  ],
}

/** Kinds of the keys that rules name, beside the server's own. */
export function keyTypes(rules: readonly KeyRule[]): ReadonlySet<string> {
  const texts = rules.flatMap(({ words }) => words).map(withAnyNames)
  return new Set(texts.flatMap((text) => keyNamed(text)?.type ?? []))
}

/** What is wrong between the variables; empty = nothing. */
export function keyProblems(values: Values, hasVault: boolean): readonly string[] {
  return keyTypes(values.FAIRWAY_SECRETS_KEYS).has('hc_vault') && !hasVault
    ? [
        'FAIRWAY_SECRETS_KEYS: names a key of Vault, so the server needs a login there: FAIRWAY_VAULT_AUTH',
      ]
    : []
}

export function keyConfig(values: Values, env: Environment): KeyConfig {
  const rules = values.FAIRWAY_SECRETS_KEYS
  const names = [...keyTypes(rules)].flatMap((type) => CLOUD_VARIABLES[type] ?? [])
  const cloud = names.flatMap((name) => {
    const value = env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return { rules, cloud: Object.fromEntries(cloud) }
}

/** The same as variables, for the server that `fairway up` starts. */
export function keyEnvironment({ rules, cloud }: KeyConfig): Record<string, string> {
  return rules.length === 0 ? {} : { FAIRWAY_SECRETS_KEYS: environmentRulesText(rules), ...cloud }
}
