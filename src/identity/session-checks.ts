import type { Log } from '../lib/log.ts'
import type { Audit } from '../model/audit.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { SessionRecord, UserRecord, UserStore } from '../model/users.ts'
import type { CredentialSeal } from './credential-seal.ts'
import { sessionEnded, type SessionEnd } from './session-audit.ts'
import { LoginProblem, ProviderCredentials, type Provider, type Vouched } from './provider.ts'

export interface CheckOptions {
  readonly store: UserStore
  readonly provider: Provider | null
  readonly seal: CredentialSeal
  readonly limits: { readonly offlineMs: number }
  readonly clock: Clock
  readonly log: Log
  readonly audit: Pick<Audit, 'note'>
  /** Told when the store has something else about a session, or of its user. */
  readonly changed: (session: string) => void
}

/**
 * A used session is confirmed by the provider again when the last time is this long ago. With the longest that it takes (three
 * questions of FETCH_LIMITS.ms each) somebody whom the provider does not vouch for any more is gone within 60 s.
 */
export const CONFIRMED_MS = 40_000
/** How long until the next try while the provider does not answer. */
const RETRY_MS = 15_000

/** Asks the provider whether people of sessions are still who they were. */
export class SessionChecks {
  readonly #options: CheckOptions
  /** One question at a time per session: a refresh token may be good for one only. */
  readonly #running = new Map<string, Promise<boolean>>()
  /** When sessions were last asked about in vain. */
  readonly #failing = new Map<string, number>()

  constructor(options: CheckOptions) {
    this.#options = options
  }

  /**
   * True where the provider vouched for the person lately, or does now, or did within `offlineMs` and does not answer now. A provider that
   * refuses ends the session. Waits for the provider only where it is expected to answer.
   */
  async stillVouchedFor(session: SessionRecord, user: UserRecord): Promise<boolean> {
    const { provider, clock } = this.#options
    if (provider === null || user.issuer !== provider.issuer) return false
    const now = clock.now()
    if (this.#isFresh(session)) return true
    const failedAt = this.#failing.get(session.id)
    if (failedAt === undefined) return await this.#check(provider, session, user)
    const bearable = this.#isBearable(session)
    if (Math.abs(now - failedAt) >= RETRY_MS) {
      const check = this.#check(provider, session, user)
      if (!bearable) return await check
      void check.catch((error: unknown) => {
        this.#options.log.error({ session: session.id, err: error }, 'session was not checked')
      })
    }
    return bearable
  }

  /** What the session's owner must know; null = nothing. */
  noticeOf(session: SessionRecord): string | null {
    if (!this.#failing.has(session.id)) return null
    const { offlineMs } = this.#options.limits
    const since = new Date(session.confirmedAt).toISOString()
    const until = new Date(session.confirmedAt + offlineMs).toISOString()
    return `the identity provider has not confirmed this session since ${since}; it ends at ${until} unless the provider answers`
  }

  #check(provider: Provider, session: SessionRecord, user: UserRecord): Promise<boolean> {
    const running = this.#running.get(session.id)
    if (running !== undefined) return running
    const check = this.#ask(provider, session, user).finally(() => {
      this.#running.delete(session.id)
    })
    this.#running.set(session.id, check)
    return check
  }

  async #ask(provider: Provider, { hash }: SessionRecord, user: UserRecord): Promise<boolean> {
    const { store, seal, clock, log } = this.#options
    // Read again: another request may have used up the refresh token that this one was read with.
    const session = await store.findSessionByHash(hash)
    if (session === null) return false
    if (this.#isFresh(session)) return true
    const text = seal.open(session.credentials, session.id)
    if (text === null) {
      log.warn({ session: session.id }, 'session ended: its credentials cannot be opened')
      await this.#end(session, user, 'its credentials cannot be opened')
      return false
    }
    try {
      const vouched = await provider.confirm(ProviderCredentials.parse(text), user.subject)
      this.#failing.delete(session.id)
      return await this.#confirm(session, user, vouched)
    } catch (error) {
      if (!(error instanceof LoginProblem)) throw error
      const fields = { session: session.id, user: user.name, err: error }
      if (error.kind === 'refused') {
        log.info(fields, 'session ended: the identity provider refused it')
        await this.#end(session, user, 'the identity provider refused it')
        return false
      }
      if (!this.#failing.has(session.id)) log.warn(fields, 'identity provider does not confirm')
      this.#failing.set(session.id, clock.now())
      return this.#isBearable(session)
    }
  }

  async #confirm(session: SessionRecord, user: UserRecord, vouched: Vouched): Promise<boolean> {
    const { store, seal, clock } = this.#options
    await this.#update(user, vouched)
    const there = await store.updateSession(session.id, {
      confirmedAt: clock.now(),
      credentials: seal.seal(vouched.credentials.reveal(), session.id),
    })
    this.#options.changed(session.id)
    // Ended while the provider was asked.
    if (!there) await this.#options.provider?.revoke(vouched.credentials).catch(() => undefined)
    return there
  }

  async #update(user: UserRecord, { name, email, groups }: Vouched): Promise<void> {
    const { store } = this.#options
    const fresh: UserRecord = { ...user, email, groups: groups ?? user.groups }
    const now = await store.getUser(user.id)
    if (now === null) return
    const same = JSON.stringify([now.name, now.email, now.groups])
    if (same === JSON.stringify([name, fresh.email, fresh.groups])) return
    try {
      await store.putUser({ ...fresh, name, lastLoginAt: now.lastLoginAt })
    } catch (error) {
      if (!(error instanceof FairwayError && error.code === 'CONFLICT')) throw error
      // The new name is somebody else's here: the old one stays.
      await store.putUser({ ...fresh, name: now.name, lastLoginAt: now.lastLoginAt })
    }
  }

  async #end(session: SessionRecord, user: UserRecord, why: SessionEnd): Promise<void> {
    const { store, audit, changed } = this.#options
    this.#failing.delete(session.id)
    const there = await store.deleteSession(session.id)
    changed(session.id)
    if (there) void audit.note(sessionEnded(session, user.name, why))
  }

  /** A negative age is a clock that was set back: nobody knows how old it is. */
  #isFresh({ confirmedAt }: SessionRecord): boolean {
    const age = this.#options.clock.now() - confirmedAt
    return age >= 0 && age < CONFIRMED_MS
  }

  #isBearable({ confirmedAt }: SessionRecord): boolean {
    const age = this.#options.clock.now() - confirmedAt
    return age >= 0 && age < this.#options.limits.offlineMs
  }
}
