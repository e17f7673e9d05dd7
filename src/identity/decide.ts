import type { Action, Decision, Resource, Role, Subject } from '../model/identity.ts'

/** The least role that may do it. `Record` makes a new action without a rule a type error. */
const LEAST_ROLE: Readonly<Record<Action, Role>> = {
  'self:read': 'viewer',
  'app:read': 'viewer',
  'log:read': 'viewer',
  'config:names': 'viewer',
  'image:pull': 'viewer',
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
  'target:write': 'admin',
  'manifest:apply': 'admin',
  'node:drain': 'admin',
  'token:read': 'admin',
  'token:write': 'admin',
  'platform:collect': 'admin',
}

const RANK: Readonly<Record<Role, number>> = { viewer: 1, developer: 2, admin: 3 }

/**
 * The one decision: may this subject do this to this resource in this environment? Denies whatever it does not know.
 * Roles reach over all apps and environments so far; both are arguments so that no caller can leave its scope out.
 */
export function decide(
  subject: Subject | null,
  action: Action,
  resource: Resource,
  environment: string | null,
): Decision {
  if (subject === null) return denied('nobody is logged in')
  if (!Object.hasOwn(LEAST_ROLE, action)) return denied(`${action} is not a known action`)
  if (!Object.hasOwn(RANK, subject.role)) return denied(`${subject.role} is not a known role`)
  const least = LEAST_ROLE[action]
  if (RANK[subject.role] >= RANK[least]) return { allowed: true }
  return denied(
    `${action}${scope(resource, environment)} needs the role ${least}; the token ${JSON.stringify(subject.name)} has ${subject.role}`,
  )
}

function denied(reason: string): Decision {
  return { allowed: false, reason }
}

function scope(resource: Resource, environment: string | null): string {
  if (resource.app === null) return ''
  return ` on ${resource.app}${environment === null ? '' : `/${environment}`}`
}
