import { z } from 'zod'
import { GET, POST, type Endpoint } from './endpoint.ts'
import { grant, grantBody } from './grant.ts'
import { appName, environmentName, id, teamName, time } from './name.ts'
import { rollout } from './rollout.ts'

/** Most apps that one team has. */
const MAX_TEAM_APPS = 1000
const HOUR_MS = 3_600_000

export const team = z
  .object({ name: z.string(), apps: z.array(z.string()), createdAt: time })
  .meta({ id: 'Team' })

/** Name of a user or a group as the identity provider gives it. */
const providerName = z
  .string()
  .min(1)
  .max(200)
  .regex(
    /^[^\p{C}\p{Z}](?:[^\p{C}\p{Zl}\p{Zp}]*[^\p{C}\p{Z}])?$/u,
    'expected a name without control characters',
  )
  .refine((text) => text === text.normalize('NFC'), 'expected composed characters (NFC)')

export const binding = z
  .object({
    id,
    kind: z.enum(['user', 'group']),
    name: z.string(),
    grant,
    createdAt: time,
    createdBy: z.string(),
  })
  .meta({ id: 'Binding' })

export const protection = z
  .object({ environment: z.string(), waitMs: z.number(), createdAt: time, createdBy: z.string() })
  .meta({ id: 'Protection' })

const teamParams = z.strictObject({ team: teamName })
const environmentParams = z.strictObject({ environment: environmentName })
const teamApps = z.array(appName).max(MAX_TEAM_APPS)

/** The part of the API about who may do what. */
export const TEAM_ENDPOINTS = {
  listTeams: {
    ...GET,
    path: '/v1/teams',
    response: z.object({ teams: z.array(team) }),
    action: 'team:read',
    summary: 'Teams that the caller has something to do with, with the apps that it may see',
    errors: [],
  },
  changeTeam: {
    ...GET,
    method: 'PATCH',
    path: '/v1/teams/:team',
    params: teamParams,
    body: z.strictObject({ add: teamApps, remove: teamApps }),
    response: team,
    action: 'team:write',
    summary: 'Adds apps to a team and takes some out; makes the team where it is missing',
    errors: ['LIMIT_EXCEEDED'],
  },
  removeTeam: {
    ...GET,
    method: 'DELETE',
    path: '/v1/teams/:team',
    params: teamParams,
    response: null,
    action: 'team:write',
    summary: 'Removes a team that no token and no binding names',
    errors: ['NOT_FOUND', 'CONFLICT'],
  },
  listBindings: {
    ...GET,
    path: '/v1/bindings',
    response: z.object({ bindings: z.array(binding) }),
    action: 'access:read',
    summary:
      'What users and groups of the identity provider are granted, where the caller could have',
    errors: [],
  },
  addBinding: {
    ...POST,
    path: '/v1/bindings',
    body: z.strictObject({ kind: z.enum(['user', 'group']), name: providerName, grant: grantBody }),
    response: binding,
    action: 'access:write',
    summary: 'Grants a user or a group something, with no more than the caller has',
    errors: ['CONFLICT', 'LIMIT_EXCEEDED'],
  },
  removeBinding: {
    ...GET,
    method: 'DELETE',
    path: '/v1/bindings/:binding',
    params: z.strictObject({ binding: id }),
    response: null,
    action: 'access:write',
    summary: 'Takes a grant back',
    errors: ['NOT_FOUND', 'CONFLICT'],
  },
  listProtections: {
    ...GET,
    path: '/v1/environments',
    response: z.object({ protections: z.array(protection) }),
    action: 'environment:read',
    summary: 'Environments whose rollouts need a second person',
    errors: [],
  },
  protectEnvironment: {
    ...GET,
    method: 'PUT',
    path: '/v1/environments/:environment/protection',
    params: environmentParams,
    body: z.strictObject({
      waitMs: z
        .number()
        .int()
        .min(60_000)
        .max(7 * 24 * HOUR_MS),
    }),
    response: protection,
    action: 'environment:protect',
    summary: 'From now on rollouts of this environment wait for a second person',
    errors: ['LIMIT_EXCEEDED'],
  },
  unprotectEnvironment: {
    ...GET,
    method: 'DELETE',
    path: '/v1/environments/:environment/protection',
    params: environmentParams,
    response: null,
    action: 'environment:protect',
    summary:
      'Rollouts of this environment need nobody else any more; those that wait go on waiting',
    errors: ['NOT_FOUND'],
  },
  judgeRollout: {
    ...POST,
    path: '/v1/apps/:app/:environment/rollouts/:rollout/verdict',
    params: z.strictObject({ app: appName, environment: environmentName, rollout: id }),
    body: z.strictObject({ verdict: z.enum(['approve', 'refuse']) }),
    response: rollout,
    action: 'rollout:approve',
    summary:
      'Lets a rollout that waits for approval go on, or ends it; not for services and not for its asker',
    errors: ['NOT_FOUND', 'CONFLICT'],
  },
} as const satisfies Record<string, Endpoint>

export type TeamBody = z.output<typeof team>
export type BindingBody = z.output<typeof binding>
export type ProtectionBody = z.output<typeof protection>
