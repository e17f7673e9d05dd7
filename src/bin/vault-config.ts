import { resolve } from 'node:path'
import { z } from 'zod'
import { environmentRulesText } from '../model/environment-rules.ts'
import { parsePathRules, type PathRule } from '../vault/path-rules.ts'
import type { VaultAuth } from '../vault/vault-login.ts'

/** The Vault or OpenBao that values of apps come from, as configured. Nothing here has been asked whether it is right. */
export interface VaultConfig {
  readonly address: string
  readonly namespace: string | null
  readonly auth: VaultAuth
  readonly rules: readonly PathRule[]
  readonly refreshSeconds: number
}

const file = z
  .string()
  .min(1)
  .transform((path) => resolve(path))
const mount = z
  .string()
  .regex(/^[\w.-]+(?:\/[\w.-]+)*$/, 'expected the path of an auth method such as approle')

/** Variables of `config.ts` that are about Vault. Secrets are in files. */
export const VAULT_VARIABLES = {
  VAULT_ADDR: z.string().optional(),
  FAIRWAY_VAULT_ADDR: z
    .string()
    .refine(isAddress, 'expected https://HOST:PORT of Vault or OpenBao (http on loopback only)')
    .optional(),
  FAIRWAY_VAULT_NAMESPACE: z.string().min(1).optional(),
  FAIRWAY_VAULT_AUTH: z.enum(['off', 'token', 'approle', 'jwt']).default('off'),
  FAIRWAY_VAULT_AUTH_MOUNT: mount.optional(),
  FAIRWAY_VAULT_ROLE: z.string().min(1).optional(),
  FAIRWAY_VAULT_TOKEN_FILE: file.optional(),
  FAIRWAY_VAULT_SECRET_ID_FILE: file.optional(),
  FAIRWAY_VAULT_JWT_FILE: file.optional(),
  FAIRWAY_VAULT_PATHS: z
    .string()
    .default('')
    .transform((text, context) => {
      const rules = parsePathRules(text)
      if (typeof rules !== 'string') return { text, rules }
      context.addIssue(rules)
      return z.NEVER
    }),
  FAIRWAY_VAULT_REFRESH_SECONDS: z.coerce.number('expected seconds').min(1).max(86_400).default(60),
} as const

type Values = z.output<z.ZodObject<typeof VAULT_VARIABLES>>

/** What each way to log in needs besides the address. */
const NEEDS = {
  token: ['FAIRWAY_VAULT_TOKEN_FILE'],
  approle: ['FAIRWAY_VAULT_ROLE', 'FAIRWAY_VAULT_SECRET_ID_FILE'],
  jwt: ['FAIRWAY_VAULT_ROLE', 'FAIRWAY_VAULT_JWT_FILE'],
} as const

/** What is wrong between the variables; empty = nothing. */
export function vaultProblems(values: Values): readonly string[] {
  const { FAIRWAY_VAULT_AUTH: method } = values
  if (method === 'off') return []
  const missing = NEEDS[method].filter((name) => values[name] === undefined)
  const address = addressOf(values)
  return [
    ...missing.map((name) => `${name}: FAIRWAY_VAULT_AUTH=${method} needs it`),
    ...(address !== undefined && isAddress(address)
      ? []
      : ['FAIRWAY_VAULT_ADDR: expected https://HOST:PORT of Vault or OpenBao (or VAULT_ADDR)']),
  ]
}

/** Null where values come from no Vault. */
export function vaultConfig(values: Values): VaultConfig | null {
  const { FAIRWAY_VAULT_NAMESPACE: namespace, FAIRWAY_VAULT_PATHS: paths } = values
  const [auth, address] = [authOf(values), addressOf(values)]
  if (auth === null || address === undefined) return null
  return {
    address,
    namespace: namespace ?? null,
    auth,
    rules: paths.rules,
    refreshSeconds: values.FAIRWAY_VAULT_REFRESH_SECONDS,
  }
}

/** The same as variables, for the server that `fairway up` starts. */
export function vaultEnvironment(config: VaultConfig | null): Record<string, string> {
  if (config === null) return {}
  const { address, namespace, auth, rules, refreshSeconds } = config
  return {
    FAIRWAY_VAULT_ADDR: address,
    ...(namespace === null ? {} : { FAIRWAY_VAULT_NAMESPACE: namespace }),
    ...authEnvironment(auth),
    FAIRWAY_VAULT_PATHS: environmentRulesText(rules),
    FAIRWAY_VAULT_REFRESH_SECONDS: String(refreshSeconds),
  }
}

function authOf(values: Values): VaultAuth | null {
  const { FAIRWAY_VAULT_AUTH: method, FAIRWAY_VAULT_AUTH_MOUNT: mounted } = values
  const { FAIRWAY_VAULT_TOKEN_FILE: tokenFile, FAIRWAY_VAULT_ROLE: role } = values
  const { FAIRWAY_VAULT_SECRET_ID_FILE: secretIdFile, FAIRWAY_VAULT_JWT_FILE: jwtFile } = values
  if (method === 'token' && tokenFile !== undefined) return { method, tokenFile }
  if (method === 'approle' && role !== undefined && secretIdFile !== undefined)
    return { method, mount: mounted ?? 'approle', roleId: role, secretIdFile }
  if (method === 'jwt' && role !== undefined && jwtFile !== undefined)
    return { method, mount: mounted ?? 'jwt', role, jwtFile }
  return null
}

function authEnvironment(auth: VaultAuth): Record<string, string> {
  const method = { FAIRWAY_VAULT_AUTH: auth.method }
  if (auth.method === 'token') return { ...method, FAIRWAY_VAULT_TOKEN_FILE: auth.tokenFile }
  const mounted = { ...method, FAIRWAY_VAULT_AUTH_MOUNT: auth.mount }
  return auth.method === 'approle'
    ? {
        ...mounted,
        FAIRWAY_VAULT_ROLE: auth.roleId,
        FAIRWAY_VAULT_SECRET_ID_FILE: auth.secretIdFile,
      }
    : { ...mounted, FAIRWAY_VAULT_ROLE: auth.role, FAIRWAY_VAULT_JWT_FILE: auth.jwtFile }
}

function addressOf(values: Values): string | undefined {
  return values.FAIRWAY_VAULT_ADDR ?? values.VAULT_ADDR
}

/** A token goes there with every request: encrypted, but on loopback. */
function isAddress(text: string): boolean {
  const url = URL.parse(text)
  if (url === null || url.search + url.hash + url.username + url.password !== '') return false
  const loopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname)
  return (
    url.pathname === '/' && (url.protocol === 'https:' || (url.protocol === 'http:' && loopback))
  )
}
