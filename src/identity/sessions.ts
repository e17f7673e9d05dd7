import { createHash } from 'node:crypto'
import type { Log } from '../lib/log.ts'
import { KeyedMutex } from '../lib/mutex.ts'
import type { Audit } from '../model/audit.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Person, Subject } from '../model/identity.ts'
import type {
  OwnSession,
  SessionBegins,
  SessionTokens,
  SessionView,
  Users,
  UserView,
} from '../model/login.ts'
import type { SessionRecord, UserRecord, UserStore } from '../model/users.ts'
import type { CredentialSeal } from './credential-seal.ts'
import type { SessionIssuer } from './login.ts'
import { ProviderCredentials, type Provider, type Vouched } from './provider.ts'
import { sessionEnded, type SessionEnd } from './session-audit.ts'
import { SessionChecks } from './session-checks.ts'
import { toSessionView, toUserView } from './session-view.ts'
import {
  hashSecret,
  looksLikeSession,
  newSessionToken,
  sameHash,
  type RandomBytes,
} from './token-secret.ts'

export interface SessionLimits {
  /** A session that nobody used for so long ends. */
  readonly idleMs: number
  /** No session lives longer. */
  readonly totalMs: number
  /** So long a session goes on while the provider does not answer. */
  readonly offlineMs: number
}

export interface SessionOptions {
  readonly store: UserStore
  /** Null = this server has none: no session counts. */
  readonly provider: Provider | null
  readonly seal: CredentialSeal
  /** Who somebody is here and what they may do. */
  readonly subjectOf: (person: Person) => Promise<Subject>
  readonly limits: SessionLimits
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly log: Log
  /** Told of every session that ends other than by a logout. */
  readonly audit: Pick<Audit, 'note'>
}

/** What was read is trusted this long without asking the store; what ends here ends at once. */
const CACHE_MS = 10_000
const CACHE_ENTRIES = 1000
/** `last used` is written at most this often. */
const TOUCH_MS = 60_000
const SESSIONS_PER_USER = 50

interface Known {
  readonly session: SessionRecord
  readonly user: UserRecord
  readonly at: number
}

/** Sessions of people, over a store and the provider that vouches for them. */
export class Sessions implements SessionTokens, Users, SessionIssuer {
  readonly #options: SessionOptions
  readonly #checks: SessionChecks
  readonly #cache = new Map<string, Known>()
  readonly #mutex = new KeyedMutex()
  /** Grows with every change, so that a look-up that began before it is not cached after it. */
  #changes = 0

  constructor(options: SessionOptions) {
    this.#options = options
    this.#checks = new SessionChecks({
      ...options,
      changed: (session) => {
        this.#forget((known) => known.session.id === session)
      },
    })
  }

  async authenticate(token: string): Promise<Subject | null> {
    const known = await this.#find(token)
    if (known === null) return null
    const { session } = known
    if (this.#isOver(session)) {
      const old = this.#options.clock.now() >= session.expiresAt
      await this.#end([session], old ? 'it was as old as a session gets' : 'nobody used it')
      return null
    }
    if (!(await this.#checks.stillVouchedFor(session, known.user))) return null
    // A check may have brought other groups.
    const { user } = (await this.#find(token)) ?? known
    await this.#touch(session)
    const { id, name, groups } = user
    return await this.#options.subjectOf({ kind: 'user', id, name, groups })
  }

  /** As `authenticate`, for a session of which only the id is known; does not count as a use of it. */
  async recall(id: string): Promise<Subject | null> {
    const { store, subjectOf } = this.#options
    const session = (await store.listSessions()).find((each) => each.id === id)
    if (session === undefined || this.#isOver(session)) return null
    const known = await store.getUser(session.user)
    if (known === null || !(await this.#checks.stillVouchedFor(session, known))) return null
    // A check may have brought other groups.
    const user = await store.getUser(session.user)
    if (user === null) return null
    const { name, groups } = user
    return await subjectOf({ kind: 'user', id: user.id, name, groups })
  }

  async issue(
    vouched: Vouched,
    client: string,
    begins: SessionBegins,
  ): ReturnType<SessionIssuer['issue']> {
    return await this.#mutex.run('users', async () => {
      const { store, clock, randomBytes, seal, limits } = this.#options
      const now = clock.now()
      await store.deleteOldSessions(now, now - limits.idleMs)
      const user = await this.#putUser(vouched, now)
      const { id, token } = newSessionToken(randomBytes)
      const session: SessionRecord = {
        id,
        user: user.id,
        hash: hashSecret(token),
        client,
        createdAt: now,
        lastUsedAt: now,
        confirmedAt: now,
        expiresAt: now + limits.totalMs,
        credentials: seal.seal(vouched.credentials.reveal(), id),
      }
      await begins(toUserView(user), toSessionView(session))
      await this.#makeRoom(user.id)
      await store.addSession(session)
      return { token, user: toUserView(user), session: toSessionView(session) }
    })
  }

  async list(): Promise<readonly (UserView & { readonly sessions: readonly SessionView[] })[]> {
    const { store } = this.#options
    const sessions = (await store.listSessions()).filter((session) => !this.#isOver(session))
    return (await store.listUsers()).map((user) => ({
      ...toUserView(user),
      sessions: sessions.filter(({ user: id }) => id === user.id).map(toSessionView),
    }))
  }

  async endSessions(user: string, session: string | null): Promise<number> {
    return await this.#endOf(user, session, 'an admin ended it')
  }

  async #endOf(user: string, session: string | null, why: SessionEnd): Promise<number> {
    const found = (await this.#options.store.listSessions()).filter(
      (each) => each.user === user && (session === null || each.id === session),
    )
    await this.#end(found, why)
    return found.length
  }

  async remove(user: string): Promise<boolean> {
    await this.#endOf(user, null, 'an admin forgot the person')
    const removed = await this.#options.store.deleteUser(user)
    this.#forget((known) => known.user.id === user)
    return removed
  }

  async ownSession(token: string): Promise<OwnSession | null> {
    const known = await this.#find(token)
    if (known === null || this.#isOver(known.session)) return null
    const { session, user } = known
    return {
      session: toSessionView(session),
      groups: user.groups,
      notice: this.#checks.noticeOf(session),
    }
  }

  async logout(token: string): Promise<SessionView | null> {
    const known = await this.#find(token)
    if (known === null) return null
    await this.#end([known.session], null)
    return toSessionView(known.session)
  }

  async #putUser(vouched: Vouched, now: number): Promise<UserRecord> {
    const { store } = this.#options
    const { issuer, subject, name, email } = vouched
    const id = userId(issuer, subject)
    const before = await store.getUser(id)
    const user: UserRecord = {
      id,
      issuer,
      subject,
      name,
      email,
      groups: vouched.groups ?? [],
      createdAt: before?.createdAt ?? now,
      lastLoginAt: now,
    }
    try {
      await store.putUser(user)
    } catch (error) {
      if (!(error instanceof FairwayError && error.code === 'CONFLICT')) throw error
      // A role may be bound to the name: whoever gets it later must not get the role with it.
      throw new FairwayError('LOGIN_REFUSED', `another person logged in as ${name} before`, {
        cause: error,
        hint: `If that person is gone, an admin forgets them with \`fairway users remove ${name}\`.`,
      })
    }
    this.#forget((known) => known.user.id === id)
    return user
  }

  /** The longest unused one goes where there are too many. */
  async #makeRoom(user: string): Promise<void> {
    const own = (await this.#options.store.listSessions()).filter((each) => each.user === user)
    const byUse = own.sort((a, b) => b.lastUsedAt - a.lastUsedAt)
    await this.#end(byUse.slice(SESSIONS_PER_USER - 1), 'the person had too many')
  }

  /** @param why null where whoever asks tells the audit */
  async #end(sessions: readonly SessionRecord[], why: SessionEnd | null): Promise<void> {
    const { store, provider, seal, log, audit } = this.#options
    for (const session of sessions) {
      const { id, credentials } = session
      const there = await store.deleteSession(id)
      this.#forget((known) => known.session.id === id)
      if (there && why !== null) {
        const user = await store.getUser(session.user)
        void audit.note(sessionEnded(session, user?.name ?? null, why))
      }
      const text = seal.open(credentials, id)
      if (text === null || provider === null) continue
      // It has ended here; whether the provider answers makes no difference to that.
      void provider.revoke(ProviderCredentials.parse(text)).catch((error: unknown) => {
        log.debug({ session: id, err: error }, 'identity provider was not told of a logout')
      })
    }
  }

  async #find(token: string): Promise<Known | null> {
    if (!looksLikeSession(token)) return null
    const { store, clock } = this.#options
    const hash = hashSecret(token)
    const now = clock.now()
    const cached = this.#cache.get(hash)
    if (cached !== undefined && Math.abs(now - cached.at) < CACHE_MS) return cached
    this.#cache.delete(hash)
    const before = this.#changes
    const session = await store.findSessionByHash(hash)
    if (session === null || !sameHash(session.hash, hash)) return null
    const user = await store.getUser(session.user)
    if (user === null) return null
    const known = { session, user, at: now }
    if (before !== this.#changes) return known
    if (this.#cache.size >= CACHE_ENTRIES) this.#cache.clear()
    this.#cache.set(hash, known)
    return known
  }

  async #touch(session: SessionRecord): Promise<void> {
    const { store, clock } = this.#options
    const now = clock.now()
    if (now - session.lastUsedAt < TOUCH_MS) return
    const cached = this.#cache.get(session.hash)
    // Before the write, so that requests that come meanwhile do not write too.
    if (cached !== undefined) {
      const touched = { ...cached.session, lastUsedAt: now }
      this.#cache.set(session.hash, { ...cached, session: touched })
    }
    await store.updateSession(session.id, { lastUsedAt: now })
  }

  #isOver({ expiresAt, lastUsedAt }: SessionRecord): boolean {
    const now = this.#options.clock.now()
    return now >= expiresAt || now - lastUsedAt >= this.#options.limits.idleMs
  }

  #forget(which: (known: Known) => boolean): void {
    this.#changes += 1
    for (const [hash, known] of this.#cache) if (which(known)) this.#cache.delete(hash)
  }
}

/** The same for the same person of the same provider; says nothing of either. */
function userId(issuer: string, subject: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([issuer, subject]))
    .digest('hex')
  return `u${hash.slice(0, 24)}`
}
