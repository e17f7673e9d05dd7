/** What a token may do; each role may do everything that the ones before it may. */
export const ROLES = ['viewer', 'developer', 'admin'] as const
export type Role = (typeof ROLES)[number]

/** What can be asked of the platform; every route of the API names exactly one. */
export const ACTIONS = [
  'self:read',
  'app:read',
  'app:plan',
  'app:deploy',
  'app:rollback',
  'app:scale',
  'app:run',
  'app:exec',
  'app:destroy',
  'log:read',
  'config:names',
  'config:read',
  'config:write',
  'source:write',
  'image:pull',
  'image:push',
  'token:read',
  'token:write',
  'target:read',
  'target:write',
  'manifest:apply',
  'node:drain',
  'platform:collect',
] as const
export type Action = (typeof ACTIONS)[number]

/** Who asks: a token that was checked. */
export interface Subject {
  /** Id of the token. */
  readonly id: string
  readonly name: string
  readonly role: Role
}

/** What is asked about: one app, or the platform itself where `app` is null. */
export interface Resource {
  readonly app: string | null
}

export type Decision =
  | { readonly allowed: true }
  | {
      readonly allowed: false
      /** For people: 'needs the role developer, ci has viewer'. */
      readonly reason: string
    }

/** A token as people see it; never the token nor its hash. */
export interface TokenView {
  readonly id: string
  readonly name: string
  readonly role: Role
  readonly createdAt: number
  readonly expiresAt: number | null
  readonly lastUsedAt: number | null
}

export interface NewToken {
  readonly name: string
  readonly role: Role
  /** Null = until revoked. */
  readonly expiresAt: number | null
}

/** Who is asking and what may they do; `identity/` implements it, `api/` asks it for every request. */
export interface Identity {
  /** Null for a token that is malformed, unknown, revoked or expired: the caller must not learn which. */
  authenticate(token: string): Promise<Subject | null>
  /** Deny by default. `environment` is null where the resource has none. Null subject = nobody. */
  decide(
    subject: Subject | null,
    action: Action,
    resource: Resource,
    environment: string | null,
  ): Decision
  /**
   * Trades the one-time claim code for the first admin token.
   * @throws FairwayError UNAUTHENTICATED (wrong code), CLAIM_USED, LIMIT_EXCEEDED (too many wrong codes)
   */
  claim(code: string, name: string): Promise<{ readonly token: string; readonly view: TokenView }>
  /** The token is in the answer and nowhere else. @throws FairwayError CONFLICT where the name is taken */
  createToken(wanted: NewToken): Promise<{ readonly token: string; readonly view: TokenView }>
  /** Newest first. */
  listTokens(): Promise<readonly TokenView[]>
  /** False where there was none. @throws FairwayError CONFLICT for the last admin token */
  revokeToken(id: string): Promise<boolean>
}
