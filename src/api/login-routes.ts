import { FairwayError } from '../model/errors.ts'
import type { Login, Users } from '../model/login.ts'
import { bearerToken } from './credentials.ts'
import { route, type Routes } from './route.ts'

type LoginRoutes = Pick<
  Routes,
  | 'beginLogin'
  | 'redeemLogin'
  | 'getSession'
  | 'logout'
  | 'listUsers'
  | 'endSessions'
  | 'removeUser'
>

export function loginRoutes(login: Login, users: Users): LoginRoutes {
  return {
    beginLogin: route('beginLogin', ({ body, request }) =>
      login.begin({ ...body, from: request.ip }),
    ),
    redeemLogin: route('redeemLogin', async ({ params, body }) => {
      const redeemed = await login.redeem(params.login, body)
      if (redeemed.status === 'waiting') return redeemed
      const { user, ...rest } = redeemed
      return { ...rest, user: { ...user, groups: [...user.groups] } }
    }),
    getSession: route('getSession', async ({ request }) => {
      const own = await users.ownSession(bearerToken(request.headers.authorization) ?? '')
      if (own === null) throw noSession()
      return { ...own, groups: [...own.groups] }
    }),
    logout: route('logout', async ({ request }) => {
      const token = bearerToken(request.headers.authorization) ?? ''
      if (!(await users.logout(token))) throw noSession()
    }),
    listUsers: route('listUsers', async () => ({
      users: (await users.list()).map((user) => ({
        ...user,
        groups: [...user.groups],
        sessions: [...user.sessions],
      })),
    })),
    endSessions: route('endSessions', async ({ params, query }) => {
      const session = query.session ?? null
      const ended = await users.endSessions(params.user, session)
      if (ended > 0) return { ended }
      throw new FairwayError('NOT_FOUND', `${params.user} has no such session`)
    }),
    removeUser: route('removeUser', async ({ params }) => {
      if (await users.remove(params.user)) return undefined
      throw new FairwayError('NOT_FOUND', `there is no user ${params.user}`)
    }),
  }
}

function noSession(): FairwayError {
  return new FairwayError('NOT_FOUND', 'this is not the token of a session', {
    hint: '`fairway tokens revoke NAME` ends an API token.',
  })
}
