import type { AccessRules, Binding, Team } from '../model/access.ts'
import { FairwayError } from '../model/errors.ts'
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
    removeTeam: route('removeTeam', async ({ params }) => {
      found(await access.deleteTeam(params.team), `team ${params.team}`)
    }),
    listBindings: route('listBindings', async ({ subject }) => ({
      bindings: (await access.listBindings(subject())).map(bindingView),
    })),
    addBinding: route('addBinding', async ({ body, subject }) =>
      bindingView(await access.addBinding(subject(), body)),
    ),
    removeBinding: route('removeBinding', async ({ params, subject }) => {
      const removed = await access.removeBinding(subject(), params.binding)
      found(removed, `grant ${params.binding}`)
    }),
    listProtections: route('listProtections', async () => ({
      protections: (await access.listProtections()).map((one) => ({ ...one })),
    })),
    protectEnvironment: route('protectEnvironment', ({ params, body, subject }) =>
      access.protect(subject(), params.environment, body.waitMs),
    ),
    unprotectEnvironment: route('unprotectEnvironment', async ({ params }) => {
      const { environment } = params
      found(await access.unprotect(environment), `protection of ${environment}`)
    }),
  }
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
