import type { GrantBody } from '../contract/grant.ts'
import type { BodyOf } from '../contract/endpoints.ts'
import { FairwayError } from '../model/errors.ts'
import { ACTIONS, ROLES, type Action, type Role } from '../model/identity.ts'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import { didYouMean } from '../spec/did-you-mean.ts'
import type { Arguments } from './arguments.ts'
import type { OptionSpec } from './command.ts'
import { printable } from './text-width.ts'

/** What a command takes that gives somebody something; `--app` and `--env` limit it too. */
export const GRANT_OPTIONS: readonly OptionSpec[] = [
  { name: 'role', value: 'ROLE', summary: `one of ${ROLES.join(', ')} (default: developer)` },
  { name: 'team', value: 'NAME', summary: 'only for the apps of this team' },
  {
    name: 'only',
    value: 'WORDS',
    summary: 'of what the role may do only this: deploy,logs or app:scale,…',
  },
]

/** Words for the actions that belong together; the action's own name is taken too. */
const WORDS: Readonly<Record<string, readonly Action[]>> = {
  look: ['app:list', 'app:read'],
  logs: ['log:read'],
  plan: ['app:read', 'app:plan', 'source:write'],
  deploy: ['app:read', 'app:plan', 'app:deploy', 'source:write'],
  rollback: ['app:read', 'app:rollback'],
  scale: ['app:read', 'app:scale'],
  run: ['app:read', 'app:run'],
  exec: ['app:read', 'app:exec'],
  destroy: ['app:destroy'],
  config: ['config:names', 'config:read', 'config:write'],
  pull: ['image:pull'],
  push: ['image:pull', 'image:push'],
  approve: ['app:read', 'rollout:approve'],
  audit: ['audit:read', 'audit:export'],
}

type NewGrant = BodyOf<'createToken'>['grants'][number]

/** The grant that the options describe. @throws FairwayError INVALID_REQUEST, INVALID_NAME */
export function grantFrom(args: Arguments): NewGrant {
  const app = args.value('app')
  const environment = args.value('env')
  const only = args.value('only')
  return {
    role: roleOf(args.value('role')),
    app: app === undefined ? null : parseAppName(app),
    environment: environment === undefined ? null : parseEnvironmentName(environment),
    team: args.value('team') ?? null,
    actions: only === undefined ? null : actionsOf(only),
  }
}

/** 'developer on shop in production (only app:deploy)'. */
export function grantText({ role, app, team, environment, actions }: GrantBody): string {
  const where = [
    app === null ? '' : ` on ${app}`,
    team === null ? '' : ` on the apps of ${team}`,
    environment === null ? '' : ` in ${environment}`,
  ].join('')
  const only = actions === null ? '' : ` (only ${actions.join(', ')})`
  return printable(`${role}${where === '' ? ' everywhere' : where}${only}`, false)
}

export function grantTexts(grants: readonly GrantBody[]): string {
  return grants.length === 0 ? 'nothing' : grants.map(grantText).join('; ')
}

function roleOf(text = 'developer'): Role {
  const role = ROLES.find((each) => each === text)
  if (role !== undefined) return role
  throw new FairwayError(
    'INVALID_REQUEST',
    `--role must be ${ROLES.join(', ')}, not ${JSON.stringify(text)}`,
  )
}

function actionsOf(text: string): Action[] {
  const names = text.split(',').map((name) => name.trim())
  return [...new Set(names.flatMap(actionsNamed))]
}

function actionsNamed(name: string): readonly Action[] {
  const action = ACTIONS.find((each) => each === name)
  const found = action === undefined ? WORDS[name] : [action]
  if (found !== undefined && (action !== undefined || Object.hasOwn(WORDS, name))) return found
  const words = Object.keys(WORDS)
  const near = didYouMean(name, [...words, ...ACTIONS]).replace('did', 'Did')
  throw new FairwayError('INVALID_REQUEST', `--only does not know ${JSON.stringify(name)}`, {
    hint: near === '' ? `It takes ${words.join(', ')} and names of actions.` : near,
  })
}
