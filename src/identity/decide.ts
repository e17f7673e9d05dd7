import {
  ROLES,
  type Action,
  type AppPlace,
  type Decision,
  type Grant,
  type Resource,
  type Role,
  type Subject,
} from '../model/identity.ts'

/** What decisions lean on beside the subject's grants. */
export interface Rules {
  /** Apps of each team. */
  readonly teams: ReadonlyMap<string, ReadonlySet<string>>
  /** The same the other way round: teams of each app. */
  readonly teamsOf: ReadonlyMap<string, ReadonlySet<string>>
  /** Environments whose rollouts need a second person. */
  readonly protectedEnvironments: ReadonlySet<string>
}

/** Rules over the apps of each team. */
export function rulesOf(
  teams: ReadonlyMap<string, ReadonlySet<string>>,
  protectedEnvironments: ReadonlySet<string>,
): Rules {
  const teamsOf = new Map<string, Set<string>>()
  for (const [team, apps] of teams) {
    for (const app of apps) {
      const known = teamsOf.get(app)
      if (known === undefined) teamsOf.set(app, new Set([team]))
      else known.add(team)
    }
  }
  return { teams, teamsOf, protectedEnvironments }
}

/** The least role that may do it. `Record` makes a new action without a rule a type error. */
const LEAST_ROLE: Readonly<Record<Action, Role>> = {
  'self:read': 'viewer',
  'app:list': 'viewer',
  'app:read': 'viewer',
  'log:read': 'viewer',
  'config:names': 'viewer',
  'image:pull': 'viewer',
  'team:read': 'viewer',
  'environment:read': 'viewer',
  'kube:list': 'viewer',
  'kube:access': 'viewer',
  'app:plan': 'developer',
  'app:deploy': 'developer',
  'app:rollback': 'developer',
  'app:scale': 'developer',
  'app:run': 'developer',
  'app:exec': 'developer',
  'app:destroy': 'developer',
  'config:read': 'developer',
  'config:write': 'developer',
  'source:write': 'developer',
  'image:push': 'developer',
  'target:read': 'developer',
  'rollout:approve': 'operator',
  'node:drain': 'operator',
  'platform:collect': 'operator',
  'identity:read': 'operator',
  'audit:read': 'operator',
  'identity:rotate': 'admin',
  'target:write': 'admin',
  'manifest:apply': 'admin',
  'token:read': 'admin',
  'token:write': 'admin',
  'team:write': 'admin',
  'access:read': 'admin',
  'access:write': 'admin',
  'environment:protect': 'admin',
  'audit:export': 'admin',
  'user:read': 'admin',
  'user:write': 'admin',
}

/**
 * In a protected environment these need more: they change what runs, or run something beside it, without a rollout that a second person
 * could look at.
 */
const LEAST_ROLE_PROTECTED: Readonly<Partial<Record<Action, Role>>> = {
  'app:scale': 'operator',
  'app:run': 'operator',
  'app:exec': 'operator',
  'app:destroy': 'operator',
  'image:push': 'operator',
  'config:write': 'operator',
}

/** These reach beyond the app that they name, or concern no app: only a grant without limits of place allows them. */
const EVERYWHERE: ReadonlySet<Action> = new Set([
  'target:read',
  'target:write',
  'manifest:apply',
  'node:drain',
  'platform:collect',
  'team:write',
])

/** Asked of the platform as a whole, these are for whoever may do them anywhere; what they answer with or take is judged app by app. */
const SOMEWHERE: ReadonlySet<Action> = new Set([
  'app:list',
  'source:write',
  'image:pull',
  'image:push',
  'team:read',
  'token:read',
  'token:write',
  'access:read',
  'access:write',
  'environment:read',
  'kube:list',
  'kube:access',
  'audit:read',
])

const RANK: Readonly<Record<Role, number>> = { viewer: 1, developer: 2, operator: 3, admin: 4 }
/** By any text: what is no role has no rank. */
const RANKS: ReadonlyMap<string, number> = new Map(Object.entries(RANK))
const NO_TEAMS: ReadonlySet<string> = new Set()
const ALLOWED: Decision = { allowed: true }

/**
 * The one decision: may this subject do this to this resource in this environment? Denies whatever it does not know. Pure: the same
 * rules and subject give the same answer, and taking a grant away never allows more.
 */
export function decide(
  rules: Rules,
  subject: Subject | null,
  action: Action,
  resource: Resource,
  environment: string | null,
): Decision {
  if (subject === null) return denied('nobody is logged in')
  if (!Object.hasOwn(LEAST_ROLE, action)) return denied(`${action} is not a known action`)
  if (action === 'self:read') return ALLOWED
  const { app } = resource
  const least = leastRole(rules, action, environment)
  const anywhere = app === null && environment === null && SOMEWHERE.has(action)
  const everywhere = EVERYWHERE.has(action)
  // Once, not for each grant.
  const teams = teamsOfApp(rules, app)
  let reached = app === null
  for (const grant of subject.grants) {
    if (!anywhere && !isAbout(grant, teams, app, environment)) continue
    const rank = ranks(grant.role)
    if (rank === 0) continue
    reached = true
    if (everywhere && !isAbout(grant, NO_TEAMS, null, null)) continue
    if (rank >= RANK[least] && lists(grant, action)) return ALLOWED
  }
  const where = scope(resource, environment)
  const reason = `${action}${where} needs the role ${least}, which ${JSON.stringify(subject.name)} does not have ${where === '' ? 'over everything' : 'there'}`
  return denied(reason, !reached)
}

/** The highest role that reaches the app there; grants that list actions are no role. */
export function roleIn(
  rules: Rules,
  subject: Subject,
  { app }: Resource,
  environment: string | null,
): Role | null {
  const roles = subject.grants
    .filter((grant) => grant.actions === null && reaches(rules, grant, app, environment))
    .map(({ role }) => role)
  return ROLES.findLast((role) => roles.includes(role)) ?? null
}

/** Where the subject may do this to apps. Only for actions that need no more in a protected environment. */
export function placesOf(rules: Rules, subject: Subject, action: Action): readonly AppPlace[] {
  return subject.grants
    .filter((grant) => ranks(grant.role) >= RANK[LEAST_ROLE[action]] && lists(grant, action))
    .map((grant) => ({ apps: appsOf(rules, grant), environment: grant.environment }))
    .filter(({ apps }) => apps === null || apps.length > 0)
}

function appsOf({ teams }: Rules, { app, team }: Grant): readonly string[] | null {
  if (team === null) return app === null ? null : [app]
  const apps = [...(teams.get(team) ?? NO_TEAMS)]
  return app === null ? apps : apps.filter((one) => one === app)
}

/** Does the grant reach this app in this environment? A grant for a part never reaches the whole. */
export function reaches(
  rules: Rules,
  grant: Grant,
  app: string | null,
  environment: string | null,
): boolean {
  return isAbout(grant, teamsOfApp(rules, app), app, environment) && ranks(grant.role) > 0
}

function isAbout(
  grant: Grant,
  teams: ReadonlySet<string>,
  app: string | null,
  environment: string | null,
): boolean {
  if (grant.environment !== null && grant.environment !== environment) return false
  if (grant.app !== null && grant.app !== app) return false
  return grant.team === null || teams.has(grant.team)
}

function teamsOfApp({ teamsOf }: Rules, app: string | null): ReadonlySet<string> {
  return app === null ? NO_TEAMS : (teamsOf.get(app) ?? NO_TEAMS)
}

/** At least the role, in numbers that can be compared; 0 for what is no role. */
export function ranks(role: Role): number {
  return RANKS.get(role) ?? 0
}

function leastRole(rules: Rules, action: Action, environment: string | null): Role {
  if (environment === null || !rules.protectedEnvironments.has(environment)) {
    return LEAST_ROLE[action]
  }
  return LEAST_ROLE_PROTECTED[action] ?? LEAST_ROLE[action]
}

function lists({ actions }: Grant, action: Action): boolean {
  return actions === null || actions.includes(action)
}

function denied(reason: string, hidden = false): Decision {
  return { allowed: false, reason, hidden }
}

function scope(resource: Resource, environment: string | null): string {
  if (resource.app === null) return environment === null ? '' : ` in ${environment}`
  return ` on ${resource.app}${environment === null ? '' : `/${environment}`}`
}
