/** What somebody is in a place; each role may do everything that the ones before it may. */
export const ROLES = ['viewer', 'developer', 'operator', 'admin'] as const
export type Role = (typeof ROLES)[number]

/** What can be asked of the platform; every route of the API names exactly one. */
export const ACTIONS = [
  'self:read',
  'app:list',
  'app:read',
  'app:plan',
  'app:deploy',
  'app:rollback',
  'app:scale',
  'app:run',
  'app:exec',
  'app:destroy',
  'rollout:approve',
  'log:read',
  'config:names',
  'config:read',
  'config:write',
  'source:write',
  'image:pull',
  'image:push',
  'token:read',
  'token:write',
  'team:read',
  'team:write',
  'access:read',
  'access:write',
  'environment:read',
  'environment:protect',
  'kube:list',
  'kube:access',
  'target:read',
  'target:write',
  'manifest:apply',
  'node:drain',
  'platform:collect',
  'audit:read',
  'audit:export',
  'identity:read',
  'identity:rotate',
  'user:read',
  'user:write',
] as const
export type Action = (typeof ACTIONS)[number]

/** A role in a place. Every part that is null is no limit; all parts that are given must fit. */
export interface Grant {
  readonly role: Role
  readonly environment: string | null
  /** The apps that this team has when it is asked. */
  readonly team: string | null
  readonly app: string | null
  /** Of what the role may do only this. */
  readonly actions: readonly Action[] | null
}

/** Who asks, as checked. */
export interface Subject {
  /** Of the token or of the user at the identity provider. */
  readonly id: string
  /** Of the person, or of the service token. */
  readonly name: string
  /** `user`: a person. `token`: a service; it never approves. */
  readonly kind: 'token' | 'user'
  readonly groups: readonly string[]
  readonly grants: readonly Grant[]
}

/** A person whom an identity provider vouches for. */
export interface Person {
  readonly kind: 'user'
  /** Unchangeable id at the provider. */
  readonly id: string
  /** What bindings of users name; compared letter by letter. */
  readonly name: string
  /** What bindings of groups name; compared letter by letter. */
  readonly groups: readonly string[]
}

/** What is asked about: one app, or the platform itself where `app` is null. */
export interface Resource {
  readonly app: string | null
}

/** A part of all apps in all environments: these apps (null = all) in this environment (null = in all of them). */
export interface AppPlace {
  readonly apps: readonly string[] | null
  readonly environment: string | null
}

export type Decision =
  | { readonly allowed: true }
  | {
      readonly allowed: false
      /** For people: 'app:deploy on shop/production needs the role developer, which ci does not have there'. */
      readonly reason: string
      /** True where nothing reaches the app for the subject at all: the answer must be that of an app that is not there. */
      readonly hidden: boolean
    }

/** A token as people see it; never the token nor its hash. */
export interface TokenView {
  readonly id: string
  readonly name: string
  /** The person whose token it is; null = a service's. */
  readonly person: string | null
  readonly grants: readonly Grant[]
  readonly createdAt: number
  readonly expiresAt: number | null
  readonly lastUsedAt: number | null
}

export interface NewToken {
  readonly name: string
  readonly person: string | null
  readonly grants: readonly Grant[]
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
  /** The highest role that reaches the app there without a limit of actions; null = none. */
  roleIn(subject: Subject, resource: Resource, environment: string | null): Role | null
  /** Where the subject may do this to apps, by what teams have now; without a part that has no app. */
  placesOf(subject: Subject, action: Action): readonly AppPlace[]
  /** How long what the subject does there waits for a second person, in milliseconds; null = not at all. */
  waitsMs(
    subject: Subject,
    action: Action,
    ref: { readonly app: string; readonly environment: string },
  ): number | null
  /** What bindings give to a person now; no binding, no grant. */
  grantsFor(person: Person): Promise<readonly Grant[]>
  /**
   * Trades the one-time claim code for the first admin token.
   * @throws FairwayError UNAUTHENTICATED (wrong code), CLAIM_USED, LIMIT_EXCEEDED (too many wrong codes)
   */
  claim(code: string, name: string): Promise<{ readonly token: string; readonly view: TokenView }>
  /**
   * The token is in the answer and nowhere else.
   * @param by whoever asks: nobody gives more than they have
   * @throws FairwayError FORBIDDEN, CONFLICT where the name is taken
   */
  createToken(
    by: Subject,
    wanted: NewToken,
  ): Promise<{ readonly token: string; readonly view: TokenView }>
  /** Those that `by` could have made, newest first. */
  listTokens(by: Subject): Promise<readonly TokenView[]>
  /** False where there was none that `by` could have made. @throws FairwayError CONFLICT for the last admin token */
  revokeToken(by: Subject, id: string): Promise<boolean>
}

/** All there is, everywhere. */
export const EVERYTHING: Grant = {
  role: 'admin',
  environment: null,
  team: null,
  app: null,
  actions: null,
}

/** The platform itself, where it makes tokens for its own parts. */
export const PLATFORM: Subject = {
  id: 'platform',
  name: 'fairway',
  kind: 'token',
  groups: [],
  grants: [EVERYTHING],
}

/** A role over everything: what a token of earlier versions had. */
export function grantOf(role: Role): Grant {
  return { ...EVERYTHING, role }
}
