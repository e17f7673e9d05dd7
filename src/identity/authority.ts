import type { Grant, Subject } from '../model/identity.ts'
import { ranks, type Rules } from './decide.ts'

/**
 * May the subject give this grant away, or take it from somebody? Only with one grant of its own that is as high, as wide and as free,
 * and that lets it make tokens or bindings at all.
 */
export function mayGive(
  rules: Rules,
  subject: Subject,
  grant: Grant,
  action: 'token:write' | 'access:write',
): boolean {
  return subject.grants.some(
    (own) =>
      own.role === 'admin' &&
      (own.actions === null || own.actions.includes(action)) &&
      includes(rules, own, grant),
  )
}

/** Nothing that the other grant allows is missing from this one, by what teams have now. */
export function includes(rules: Rules, own: Grant, other: Grant): boolean {
  return (
    ranks(own.role) >= ranks(other.role) &&
    ranks(other.role) > 0 &&
    (own.environment === null || own.environment === other.environment) &&
    (own.app === null || own.app === other.app) &&
    includesTeam(rules, own, other) &&
    includesActions(own, other)
  )
}

/** Does it reach everything there is, with every right? */
export function isFullAdmin({ role, environment, team, app, actions }: Grant): boolean {
  return [environment, team, app, actions].every((part) => part === null) && role === 'admin'
}

export function sameGrant(a: Grant, b: Grant): boolean {
  return key(a) === key(b)
}

function includesTeam({ teams }: Rules, own: Grant, other: Grant): boolean {
  if (own.team === null || own.team === other.team) return true
  return other.app !== null && (teams.get(own.team)?.has(other.app) ?? false)
}

function includesActions(own: Grant, other: Grant): boolean {
  if (own.actions === null) return true
  return other.actions?.every((action) => own.actions?.includes(action)) ?? false
}

function key({ role, environment, team, app, actions }: Grant): string {
  return JSON.stringify([role, environment, team, app, actions?.toSorted() ?? null])
}
