import { z } from 'zod'
import { GET, POST, type Endpoint } from './endpoint.ts'
import {
  begunLogin,
  loginBody,
  ownSession,
  redeemed,
  redemptionBody,
  userWithSessions,
} from './login.ts'
import { id } from './name.ts'

const userParams = z.strictObject({ user: id })

/** The part of the API about people: login at the identity provider, sessions. */
export const LOGIN_ENDPOINTS = {
  beginLogin: {
    ...POST,
    path: '/v1/logins',
    body: loginBody,
    response: begunLogin,
    action: null,
    summary:
      'Begins a login at the identity provider, in a browser or by a code for another device',
    errors: ['LOGIN_UNAVAILABLE', 'LOGIN_REFUSED', 'LIMIT_EXCEEDED'],
  },
  redeemLogin: {
    ...POST,
    path: '/v1/logins/:login/session',
    params: z.strictObject({ login: id }),
    body: redemptionBody,
    response: redeemed,
    action: null,
    summary:
      'Trades the verifier, and the code that the browser brought, for a session token, once',
    errors: ['LOGIN_UNAVAILABLE', 'LOGIN_REFUSED'],
  },
  getSession: {
    ...GET,
    path: '/v1/session',
    response: ownSession,
    action: 'self:read',
    summary: 'The session whose token this is',
    errors: ['NOT_FOUND'],
  },
  logout: {
    ...GET,
    method: 'DELETE',
    path: '/v1/session',
    response: null,
    action: 'self:read',
    summary: 'Ends the session whose token this is',
    errors: ['NOT_FOUND'],
  },
  listUsers: {
    ...GET,
    path: '/v1/users',
    response: z.object({ users: z.array(userWithSessions) }),
    action: 'user:read',
    summary: 'People who logged in, with their sessions',
    errors: [],
  },
  endSessions: {
    ...GET,
    method: 'DELETE',
    path: '/v1/users/:user/sessions',
    params: userParams,
    query: z.strictObject({ session: id.optional() }),
    response: z.object({ ended: z.number().int() }),
    action: 'user:write',
    summary: 'Ends one session of a person, or all of them, at once',
    errors: ['NOT_FOUND'],
  },
  removeUser: {
    ...GET,
    method: 'DELETE',
    path: '/v1/users/:user',
    params: userParams,
    response: null,
    action: 'user:write',
    summary: 'Ends all sessions of a person and forgets them: the name is free again',
    errors: ['NOT_FOUND'],
  },
} as const satisfies Record<string, Endpoint>
