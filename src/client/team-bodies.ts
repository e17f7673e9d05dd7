/** Readers of people, tokens, teams and what is granted to them. */
import type { BindingBody, ProtectionBody, TeamBody } from '../contract/team-endpoints.ts'
import type { GrantBody } from '../contract/grant.ts'
import type {
  RedeemedBody,
  SessionBody,
  UserBody,
  UserWithSessionsBody,
} from '../contract/login.ts'
import type { TokenBody } from '../contract/token.ts'
import { branded, list, number, object, oneOf, orNull, tagged, text } from './shape.ts'

export const grant = object<GrantBody>({
  role: branded(),
  environment: orNull(text),
  team: orNull(text),
  app: orNull(text),
  actions: orNull(list(branded())),
})
export const token = object<TokenBody>({
  id: text,
  name: text,
  person: orNull(text),
  grants: list(grant),
  createdAt: number,
  expiresAt: orNull(number),
  lastUsedAt: orNull(number),
})

const userFields = {
  id: text,
  name: text,
  email: orNull(text),
  groups: list(text),
  createdAt: number,
  lastLoginAt: number,
}
const user = object<UserBody>(userFields)
export const session = object<SessionBody>({
  id: text,
  client: text,
  createdAt: number,
  lastUsedAt: number,
  confirmedAt: number,
  expiresAt: number,
})
export const userWithSessions = object<UserWithSessionsBody>({
  ...userFields,
  sessions: list(session),
})
export const redeemed = tagged<RedeemedBody>('status', {
  waiting: object<Extract<RedeemedBody, { status: 'waiting' }>>({
    status: oneOf('waiting'),
    intervalMs: number,
  }),
  done: object<Extract<RedeemedBody, { status: 'done' }>>({
    status: oneOf('done'),
    token: text,
    user,
  }),
})
export const team = object<TeamBody>({ name: text, apps: list(text), createdAt: number })
export const binding = object<BindingBody>({
  id: text,
  kind: oneOf('user', 'group'),
  name: text,
  grant,
  createdAt: number,
  createdBy: text,
})
export const protection = object<ProtectionBody>({
  environment: text,
  waitMs: number,
  createdAt: number,
  createdBy: text,
})
