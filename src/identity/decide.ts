import {
  ROLES,
  type Action,
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
  /** Environments whose rollouts need a second person. */
  readonly protectedEnvironments: ReadonlySet<string>
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
  'identity:rotate': 'admin',
  'target:write': 'admin',
  'manifest:apply': 'admin',
  'token:read': 'admin',
  'token:write': 'admin',
  'team:write': 'admin',
  'access:read': 'admin',
  'access:write': 'admin',
  'environment:protect': 'admin',
  'audit:read': 'admin',
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
}

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
])

const RANK: Readonly<Record<Role, number>> = { viewer: 1, developer: 2, operator: 3, admin: 4 }
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
  let reached = app === null
  for (const grant of subject.grants) {
    if (!anywhere && !reaches(rules, grant, app, environment)) continue
    reached = true
    if (ranks(grant.role) >= RANK[least] && lists(grant, action)) return ALLOWED
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

/** Does the grant reach this app in this environment? A grant for a part never reaches the whole. */
export function reaches(
  { teams }: Rules,
  grant: Grant,
  app: string | null,
  environment: string | null,
): boolean {
  if (ranks(grant.role) === 0) return false
  if (grant.environment !== null && grant.environment !== environment) return false
  if (grant.app !== null && grant.app !== app) return false
  if (grant.team === null) return true
  return app !== null && (teams.get(grant.team)?.has(app) ?? false)
}

/** At least the role, in numbers that can be compared; 0 for what is no role. */
export function ranks(role: Role): number {
  return Object.hasOwn(RANK, role) ? RANK[role] : 0
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
