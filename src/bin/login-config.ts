import { z } from 'zod'

/** The identity provider as configured. Nothing here has been asked whether it is right. */
export interface LoginConfig {
  readonly issuer: string
  readonly clientId: string
  /** File that holds the client's secret and nothing else; null = a public client. */
  readonly clientSecretFile: string | null
  readonly scopes: string
  readonly groupsClaim: string
  readonly nameClaim: string
}

/** What people's sessions are limited by; there are defaults, so it stands beside the provider. */
export interface SessionConfig {
  readonly idleHours: number
  readonly totalHours: number
  readonly offlineMinutes: number
}

const claim = z.string().regex(/^\S{1,200}$/, 'expected the name of a claim')
const hours = z.coerce.number('expected hours').positive().max(8760)

/** Variables of `config.ts` that are about login. */
export const LOGIN_VARIABLES = {
  FAIRWAY_PUBLIC_URL: z
    .string()
    .refine((text) => {
      const url = URL.parse(text)
      return url !== null && /^https?:$/.test(url.protocol) && url.search + url.hash === ''
    }, 'expected the http or https URL under which browsers reach this server')
    .transform((text) => text.replace(/\/+$/, ''))
    .optional(),
  FAIRWAY_OIDC_ISSUER: z
    .string()
    .refine(
      isIssuer,
      'expected the https URL of the identity provider, as its own metadata writes it (http on loopback only)',
    )
    .optional(),
  FAIRWAY_OIDC_CLIENT_ID: z.string().min(1).max(255).optional(),
  FAIRWAY_OIDC_CLIENT_SECRET_FILE: z.string().min(1).optional(),
  FAIRWAY_OIDC_SCOPES: z
    .string()
    .refine((text) => text.split(' ').includes('openid'), 'expected scopes with openid among them')
    .default('openid profile email'),
  FAIRWAY_OIDC_GROUPS_CLAIM: claim.default('groups'),
  FAIRWAY_OIDC_NAME_CLAIM: claim.default('preferred_username'),
  FAIRWAY_SESSION_IDLE_HOURS: hours.default(12),
  FAIRWAY_SESSION_HOURS: hours.default(168),
  FAIRWAY_OIDC_OFFLINE_MINUTES: z.coerce.number('expected minutes').min(0).max(10_080).default(60),
} as const

type Values = z.output<z.ZodObject<typeof LOGIN_VARIABLES>>

/** What is wrong between the variables; empty = nothing. */
export function loginProblems(values: Values): readonly string[] {
  const { FAIRWAY_OIDC_ISSUER: issuer, FAIRWAY_OIDC_CLIENT_ID: client } = values
  if (issuer !== undefined && client === undefined) {
    return ['FAIRWAY_OIDC_CLIENT_ID: FAIRWAY_OIDC_ISSUER needs the id of a client at the provider']
  }
  if (issuer === undefined && (client ?? values.FAIRWAY_OIDC_CLIENT_SECRET_FILE) !== undefined) {
    return ['FAIRWAY_OIDC_ISSUER: a client needs the URL of its provider']
  }
  return []
}

/** Null where no provider is named. */
export function loginConfig(values: Values): LoginConfig | null {
  const { FAIRWAY_OIDC_ISSUER: issuer, FAIRWAY_OIDC_CLIENT_ID: clientId } = values
  if (issuer === undefined || clientId === undefined) return null
  return {
    issuer,
    clientId,
    clientSecretFile: values.FAIRWAY_OIDC_CLIENT_SECRET_FILE ?? null,
    scopes: values.FAIRWAY_OIDC_SCOPES,
    groupsClaim: values.FAIRWAY_OIDC_GROUPS_CLAIM,
    nameClaim: values.FAIRWAY_OIDC_NAME_CLAIM,
  }
}

export function publicUrlOf(values: Values): string | null {
  return values.FAIRWAY_PUBLIC_URL ?? null
}

export function sessionConfig(values: Values): SessionConfig {
  return {
    idleHours: values.FAIRWAY_SESSION_IDLE_HOURS,
    totalHours: values.FAIRWAY_SESSION_HOURS,
    offlineMinutes: values.FAIRWAY_OIDC_OFFLINE_MINUTES,
  }
}

/** The same as variables again. */
export function loginEnvironment(
  login: LoginConfig | null,
  sessions: SessionConfig,
): Record<string, string> {
  const limits = {
    FAIRWAY_SESSION_IDLE_HOURS: String(sessions.idleHours),
    FAIRWAY_SESSION_HOURS: String(sessions.totalHours),
    FAIRWAY_OIDC_OFFLINE_MINUTES: String(sessions.offlineMinutes),
  }
  if (login === null) return limits
  return {
    ...limits,
    FAIRWAY_OIDC_ISSUER: login.issuer,
    FAIRWAY_OIDC_CLIENT_ID: login.clientId,
    ...(login.clientSecretFile === null
      ? {}
      : { FAIRWAY_OIDC_CLIENT_SECRET_FILE: login.clientSecretFile }),
    FAIRWAY_OIDC_SCOPES: login.scopes,
    FAIRWAY_OIDC_GROUPS_CLAIM: login.groupsClaim,
    FAIRWAY_OIDC_NAME_CLAIM: login.nameClaim,
  }
}

/** OpenID Connect Discovery 1.0, section 3: no query, no fragment; https, which on loopback protects nothing. */
function isIssuer(text: string): boolean {
  const url = URL.parse(text)
  if (url === null || url.search + url.hash + url.username + url.password !== '') return false
  const loopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname)
  return url.protocol === 'https:' || (url.protocol === 'http:' && loopback)
}
