import type { FastifyRequest } from 'fastify'
import type { Audit, AuditActor, AuditEvent } from '../model/audit.ts'
import { FairwayError } from '../model/errors.ts'
import type { Login, SessionBegins, SessionView, Users } from '../model/login.ts'
import { actorOf, eventOf } from './call-audit.ts'
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

export function loginRoutes(login: Login, users: Users, audit: Audit): LoginRoutes {
  return { ...sessionRoutes(login, users, audit), ...userRoutes(users) }
}

function sessionRoutes(
  login: Login,
  users: Users,
  audit: Audit,
): Pick<LoginRoutes, 'beginLogin' | 'redeemLogin' | 'getSession' | 'logout'> {
  return {
    beginLogin: route('beginLogin', ({ body, request }) =>
      login.begin({ ...body, from: request.ip }),
    ),
    redeemLogin: route('redeemLogin', async ({ params, body, request }) => {
      const redeemed = await recorded(audit, request, (begins) =>
        login.redeem(params.login, body, begins),
      )
      if (redeemed.status === 'waiting') return redeemed
      const { status, token, user } = redeemed
      return { status, token, user: { ...user, groups: [...user.groups] } }
    }),
    getSession: route('getSession', async ({ request }) => {
      const own = await users.ownSession(bearerToken(request.headers.authorization) ?? '')
      if (own === null) throw noSession()
      return { ...own, groups: [...own.groups] }
    }),
    logout: route('logout', async ({ request, subject }) => {
      const session = await users.logout(bearerToken(request.headers.authorization) ?? '')
      if (session === null) throw noSession()
      await audit.note({
        ...sessionEvent(request, actorOf(subject()), session),
        action: 'session:logout',
        facts: { client: session.client },
      })
    }),
  }
}

function userRoutes(users: Users): Pick<LoginRoutes, 'listUsers' | 'endSessions' | 'removeUser'> {
  const known = async ({ params }: { readonly params: { readonly user: string } }) => {
    const user = (await users.list()).find(({ id }) => id === params.user)
    return user === undefined ? {} : { user: user.name }
  }
  return {
    listUsers: route('listUsers', async () => ({
      users: (await users.list()).map((user) => ({
        ...user,
        groups: [...user.groups],
        sessions: [...user.sessions],
      })),
    })),
    endSessions: route(
      'endSessions',
      async ({ params, query }) => {
        const session = query.session ?? null
        const ended = await users.endSessions(params.user, session)
        if (ended > 0) return { ended }
        throw new FairwayError('NOT_FOUND', `${params.user} has no such session`)
      },
      known,
    ),
    removeUser: route(
      'removeUser',
      async ({ params }) => {
        if (await users.remove(params.user)) return undefined
        throw new FairwayError('NOT_FOUND', `there is no user ${params.user}`)
      },
      known,
    ),
  }
}

/** The record comes first, and where it cannot be kept there is no session: a server that is killed in between leaves a login that never was, not one that nobody knows of. */
async function recorded<T>(
  audit: Audit,
  request: FastifyRequest,
  login: (begins: SessionBegins) => Promise<T>,
): Promise<T> {
  let begun: AuditEvent | null = null
  try {
    return await login(async (user, session) => {
      const event: AuditEvent = {
        ...sessionEvent(request, { kind: 'user', id: user.id, name: user.name }, session),
        action: 'session:login',
        facts: { client: session.client, groups: user.groups },
      }
      await audit.record(event)
      begun = event
    })
  } catch (error) {
    await noteFailure(audit, begun, error)
    throw error
  }
}

async function noteFailure(audit: Audit, begun: AuditEvent | null, error: unknown): Promise<void> {
  if (begun === null) return
  const reason = error instanceof FairwayError ? error.code : 'INTERNAL'
  await audit.note({ ...begun, outcome: 'failed', reason })
}

function sessionEvent(
  request: FastifyRequest,
  actor: AuditActor,
  { id }: SessionView,
): Omit<AuditEvent, 'action'> {
  const target = `session ${id}`
  const where = { app: null, environment: null, target }
  return { ...eventOf(request, null), ...where, actor, outcome: 'allowed' }
}

function noSession(): FairwayError {
  return new FairwayError('NOT_FOUND', 'this is not the token of a session', {
    hint: '`fairway tokens revoke NAME` ends an API token.',
  })
}
