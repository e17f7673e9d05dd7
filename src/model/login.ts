import type { Subject } from './identity.ts'

/** How somebody logs in: a browser on the same machine as the program that asks, or a code that is typed in on any other device. */
export type LoginWay =
  | {
      readonly kind: 'browser'
      /** Where the program listens on 127.0.0.1; the browser is sent there at the end. */
      readonly port: number
      /** Given back with the code, so that the program knows its own login. */
      readonly state: string
    }
  | { readonly kind: 'device' }

export interface LoginRequest {
  readonly way: LoginWay
  /** SHA-256 of the program's verifier, base64url without padding: RFC 7636, section 4.2, S256. */
  readonly challenge: string
  /** What asks, for the list of sessions: 'ada@laptop'. */
  readonly client: string
  /** Address that the request came from: what limits count by. */
  readonly from: string
}

export interface BegunLogin {
  readonly id: string
  /** What the person opens: our page, or the provider's where a code is typed in. */
  readonly url: string
  /** The same with the code in it; null where the provider has none. */
  readonly completeUrl: string | null
  /** Browser: what page and program both show. Device: what is typed in. */
  readonly code: string
  /** How often to ask for the end; null where the browser brings it. */
  readonly intervalMs: number | null
  readonly expiresAt: number
}

/** What the browser is shown before it goes to the provider. */
export interface LoginPage {
  /** At the provider. */
  readonly url: string
  /** Stands for this browser from here on; set as a cookie that scripts cannot read. */
  readonly binding: string
  readonly code: string
  readonly client: string
  readonly provider: string
}

export interface Redemption {
  readonly verifier: string
  /** Brought by the browser; null with a device. */
  readonly code: string | null
}

export type Redeemed =
  | { readonly status: 'waiting'; readonly intervalMs: number }
  | {
      readonly status: 'done'
      readonly token: string
      readonly user: UserView
      readonly session: SessionView
    }

/** Told whose session is about to be. */
export type SessionBegins = (user: UserView, session: SessionView) => Promise<void>

/** Login at an OpenID provider; `identity/` implements it, `api/` offers it. */
export interface Login {
  /** @throws FairwayError LOGIN_UNAVAILABLE (no provider, or it does not answer), LIMIT_EXCEEDED */
  begin(request: LoginRequest): Promise<BegunLogin>
  /** For a browser that opens the login's URL; ends what an earlier visit began. @throws FairwayError LOGIN_REFUSED, LOGIN_UNAVAILABLE */
  openPage(login: string): Promise<LoginPage>
  /**
   * The provider sent the browser back.
   * @param query of the callback, without '?'
   * @param binding cookie of the login that `state` names; undefined = the browser has none
   * @returns where the browser goes: always to 127.0.0.1, with a code or with an error
   * @throws FairwayError LOGIN_REFUSED where the browser must not be sent anywhere
   */
  finish(query: string, binding: (login: string) => string | undefined): Promise<string>
  /**
   * Trades the code, once, for a session token.
   * @param begins called before there is a session; where it rejects there will be none
   * @throws FairwayError LOGIN_REFUSED, LOGIN_UNAVAILABLE, and whatever `begins` rejects with
   */
  redeem(login: string, redemption: Redemption, begins: SessionBegins): Promise<Redeemed>
}

/** A session as people see it; never its token. */
export interface SessionView {
  readonly id: string
  readonly client: string
  readonly createdAt: number
  readonly lastUsedAt: number
  /** When the provider last vouched for the person. */
  readonly confirmedAt: number
  /** At the latest: unused sessions end before. */
  readonly expiresAt: number
}

export interface UserView {
  readonly id: string
  readonly name: string
  readonly email: string | null
  readonly groups: readonly string[]
  readonly createdAt: number
  readonly lastLoginAt: number
}

export interface OwnSession {
  readonly session: SessionView
  readonly groups: readonly string[]
  /** What its owner must know: that the provider does not answer, and when the session ends for that. Null = all is well. */
  readonly notice: string | null
}

/** People who logged in and their sessions; `identity/` implements it. */
export interface Users {
  /** By name. */
  list(): Promise<readonly (UserView & { readonly sessions: readonly SessionView[] })[]>
  /** Ends one session of a person, or all of them; returns how many. Also at the provider, where it answers. */
  endSessions(user: string, session: string | null): Promise<number>
  /** Ends the sessions and forgets the person; false where there was none. */
  remove(user: string): Promise<boolean>
  /** The session of a token; null for what is no session token, unknown or ended. */
  ownSession(token: string): Promise<OwnSession | null>
  /** Ends the session of a token, also at the provider, and returns which it was; null where there was none. */
  logout(token: string): Promise<SessionView | null>
}

/** The part of `Identity.authenticate` that knows session tokens. */
export interface SessionTokens {
  /** Null for a token that is malformed, unknown or ended, and where the provider no longer vouches for the person. */
  authenticate(token: string): Promise<Subject | null>
}

/** Sessions by their id, for whom only the name of the credential (`credentialName`) is known. */
export interface SessionRecall {
  /** Null as for `SessionTokens.authenticate`. */
  recall(id: string): Promise<Subject | null>
}
