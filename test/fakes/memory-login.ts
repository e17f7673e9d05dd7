import { FairwayError } from '../../src/model/errors.ts'
import type {
  BegunLogin,
  Login,
  LoginPage,
  OwnSession,
  Redeemed,
  SessionBegins,
  SessionView,
  Users,
  UserView,
} from '../../src/model/login.ts'

export const USER: UserView & { readonly sessions: readonly SessionView[] } = {
  id: 'u1',
  name: 'ada',
  email: null,
  groups: ['team-a'],
  createdAt: 1,
  lastLoginAt: 1,
  sessions: [
    { id: 's1', client: 'ada@laptop', createdAt: 1, lastUsedAt: 1, confirmedAt: 1, expiresAt: 2 },
  ],
}

/** Logins that wait for ever unless told otherwise, and one user. */
export class MemoryLogin implements Login, Users {
  redeemed: (begins: SessionBegins) => Promise<Redeemed> = () =>
    Promise.resolve({ status: 'waiting', intervalMs: 1000 })

  begin(): Promise<BegunLogin> {
    const url = 'http://127.0.0.1/oidc/login/a'
    const begun = { id: 'a', url, completeUrl: null, code: 'B', intervalMs: null, expiresAt: 1 }
    return Promise.resolve(begun)
  }
  openPage(): Promise<LoginPage> {
    return Promise.reject(new FairwayError('LOGIN_REFUSED', 'this login is unknown'))
  }
  finish(): Promise<string> {
    return Promise.reject(new FairwayError('LOGIN_REFUSED', 'this login is unknown'))
  }
  redeem(_login: string, _redemption: unknown, begins: SessionBegins): Promise<Redeemed> {
    return this.redeemed(begins)
  }
  list(): Promise<readonly (typeof USER)[]> {
    return Promise.resolve([USER])
  }
  endSessions(user: string): Promise<number> {
    return Promise.resolve(user === USER.id ? 1 : 0)
  }
  remove(user: string): Promise<boolean> {
    return Promise.resolve(user === USER.id)
  }
  ownSession(): Promise<OwnSession | null> {
    const [session] = USER.sessions
    return Promise.resolve(
      session === undefined ? null : { session, groups: USER.groups, notice: null },
    )
  }
  logout(): Promise<SessionView | null> {
    return Promise.resolve(USER.sessions[0] ?? null)
  }
}
