import type { AccessRules, Binding, Team } from '../model/access.ts'
import type { AuditFacts } from '../model/audit.ts'
import { FairwayError } from '../model/errors.ts'
import { grantText } from './audit-facts.ts'
import { grantView } from './identity-routes.ts'
import { route, type Routes } from './route.ts'

type AccessRoutes = Pick<
  Routes,
  | 'listTeams'
  | 'changeTeam'
  | 'removeTeam'
  | 'listBindings'
  | 'addBinding'
  | 'removeBinding'
  | 'listProtections'
  | 'protectEnvironment'
  | 'unprotectEnvironment'
>

export function accessRoutes(access: AccessRules): AccessRoutes {
  return {
    listTeams: route('listTeams', async ({ subject }) => ({
      teams: (await access.listTeams(subject())).map(teamView),
    })),
    changeTeam: route('changeTeam', async ({ params, body }) =>
      teamView(await access.changeTeam(params.team, body)),
    ),
    removeTeam: route(
      'removeTeam',
      async ({ params }) => {
        found(await access.deleteTeam(params.team), `team ${params.team}`)
      },
      async ({ params, subject }) => {
        const teams = await access.listTeams(subject())
        const team = teams.find(({ name }) => name === params.team)
        return team === undefined ? {} : { apps: team.apps }
      },
    ),
    listBindings: route('listBindings', async ({ subject }) => ({
      bindings: (await access.listBindings(subject())).map(bindingView),
    })),
    addBinding: route('addBinding', async ({ body, subject }) =>
      bindingView(await access.addBinding(subject(), body)),
    ),
    removeBinding: route(
      'removeBinding',
      async ({ params, subject }) => {
        const removed = await access.removeBinding(subject(), params.binding)
        found(removed, `grant ${params.binding}`)
      },
      async ({ params, subject }) => {
        const bindings = await access.listBindings(subject())
        const bound = bindings.find(({ id }) => id === params.binding)
        if (bound === undefined) return {}
        return { kind: bound.kind, name: bound.name, grant: grantText(bound.grant) }
      },
    ),
    listProtections: route('listProtections', async () => ({
      protections: (await access.listProtections()).map((one) => ({ ...one })),
    })),
    protectEnvironment: route(
      'protectEnvironment',
      ({ params, body, subject }) => access.protect(subject(), params.environment, body.waitMs),
      ({ params }) => protectionBefore(access, params.environment),
    ),
    unprotectEnvironment: route(
      'unprotectEnvironment',
      async ({ params }) => {
        const { environment } = params
        found(await access.unprotect(environment), `protection of ${environment}`)
      },
      ({ params }) => protectionBefore(access, params.environment),
    ),
  }
}

async function protectionBefore(access: AccessRules, environment: string): Promise<AuditFacts> {
  const protections = await access.listProtections()
  const found = protections.find((one) => one.environment === environment)
  return { waitMsBefore: found?.waitMs ?? null }
}

/** @throws FairwayError NOT_FOUND */
function found(there: boolean, what: string): undefined {
  if (!there) throw new FairwayError('NOT_FOUND', `there is no ${what}`)
}

function teamView({ apps, ...team }: Team) {
  return { ...team, apps: [...apps] }
}

function bindingView({ grant, ...binding }: Binding) {
  return { ...binding, grant: grantView(grant) }
}
