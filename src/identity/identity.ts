import { likeness } from '../lib/likeness.ts'
import { KeyedMutex } from '../lib/mutex.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import {
  EVERYTHING,
  type Action,
  type AppPlace,
  type Decision,
  type Grant,
  type Identity,
  type NewToken,
  type Person,
  type Resource,
  type Role,
  type Subject,
  type TokenView,
} from '../model/identity.ts'
import type { SessionTokens } from '../model/login.ts'
import type { Store, TokenRecord } from '../model/store.ts'
import { AttemptLimit } from './attempt-limit.ts'
import { isFullAdmin, mayGive } from './authority.ts'
import { decide, placesOf, roleIn } from './decide.ts'
import { RulesCache, type ReadRules } from './rules-cache.ts'
import {
  hashSecret,
  looksLikeSession,
  looksLikeToken,
  newClaimCode,
  newToken,
  sameHash,
  type RandomBytes,
} from './token-secret.ts'

/** What identity needs of the store. */
export type TokenStore = Pick<
  Store,
  | 'addToken'
  | 'listTokens'
  | 'findTokenByHash'
  | 'touchToken'
  | 'deleteToken'
  | 'getSetting'
  | 'setSetting'
  | 'access'
>

export interface IdentityOptions {
  readonly store: TokenStore
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  /** Told when the claim code has been used: it is worthless from then on. */
  readonly claimed?: () => Promise<void>
  /** Knows the tokens of people; without it there are none. */
  readonly sessions?: SessionTokens
}

export interface ClaimableIdentity extends Identity {
  /** Teams, bindings and protected environments as decisions see them. */
  readonly rules: RulesCache
  /**
   * To be called once at start: a new claim code where no admin token is valid (earlier codes end), null where there is one.
   * The code is in the answer and nowhere else; the store gets its hash.
   */
  openClaim(): Promise<string | null>
}

/** Tokens and the claim code over a store. */
export function createIdentity(options: IdentityOptions): ClaimableIdentity {
  return new StoredIdentity(options)
}

const nothing = (): Promise<void> => Promise.resolve()
const CLAIM_SETTING = 'claim.hash'
const WRONG_CODES = 10
const WRONG_CODES_WINDOW_MS = 60_000
/** A token that was checked is trusted this long without asking the store; revoking here ends it at once. */
const CACHE_MS = 10_000
const CACHE_ENTRIES = 1000
/** `last used` is written at most this often per token. */
const TOUCH_MS = 60_000
const MAX_TOKENS = 1000

interface Cached {
  readonly record: TokenRecord
  readonly at: number
}

class StoredIdentity implements ClaimableIdentity {
  readonly rules: RulesCache
  readonly #store: TokenStore
  readonly #clock: Clock
  readonly #randomBytes: RandomBytes
  readonly #claimed: () => Promise<void>
  readonly #sessions: SessionTokens | null
  readonly #cache = new Map<string, Cached>()
  readonly #wrongCodes = new AttemptLimit(WRONG_CODES, WRONG_CODES_WINDOW_MS)
  /** Claiming, making and revoking look before they write: one at a time. */
  readonly #mutex = new KeyedMutex()
  /** Grows with every revocation, so that a look-up that began before it is not cached after it. */
  #revocations = 0

  constructor({ store, clock, randomBytes, claimed = nothing, sessions }: IdentityOptions) {
    this.#store = store
    this.#clock = clock
    this.#randomBytes = randomBytes
    this.#claimed = claimed
    this.#sessions = sessions ?? null
    this.rules = new RulesCache(store.access, clock)
  }

  decide(
    subject: Subject | null,
    action: Action,
    resource: Resource,
    environment: string | null,
  ): Decision {
    const { last } = this.rules
    // Without the rules an environment could not be known as protected. Whoever was authenticated has had them read.
    if (last === null) return { allowed: false, reason: 'the rules are not read yet', hidden: true }
    return decide(last, subject, action, resource, environment)
  }

  roleIn(subject: Subject, resource: Resource, environment: string | null): Role | null {
    const { last } = this.rules
    return last === null ? null : roleIn(last, subject, resource, environment)
  }

  placesOf(subject: Subject, action: Action): readonly AppPlace[] {
    const { last } = this.rules
    return last === null ? [] : placesOf(last, subject, action)
  }

  waitsMs(
    subject: Subject,
    action: Action,
    { app, environment }: { readonly app: string; readonly environment: string },
  ): number | null {
    const { last } = this.rules
    const waits = last?.waits.get(environment) ?? null
    // The way back to what served before needs nobody else: whoever could approve it may take it.
    if (waits === null || action !== 'app:rollback') return waits
    return this.decide(subject, 'rollout:approve', { app }, environment).allowed ? null : waits
  }

  async grantsFor({ name, groups }: Person): Promise<readonly Grant[]> {
    const { bindings } = await this.rules.current()
    return bindings
      .filter((bound) =>
        bound.kind === 'user' ? bound.name === name : groups.includes(bound.name),
      )
      .map(({ grant }) => grant)
  }

  async openClaim(): Promise<string | null> {
    return await this.#alone(async () => {
      if ((await this.#validAdmins()).length > 0) {
        await this.#store.setSetting(CLAIM_SETTING, null)
        return null
      }
      const code = newClaimCode(this.#randomBytes)
      await this.#store.setSetting(CLAIM_SETTING, hashSecret(code))
      return code
    })
  }

  async claim(code: string, name: string): Promise<{ token: string; view: TokenView }> {
    return await this.#alone(async () => {
      const hash = await this.#store.getSetting(CLAIM_SETTING)
      if (hash === null) throw new FairwayError('CLAIM_USED', 'this server has been claimed')
      const now = this.#clock.now()
      if (this.#wrongCodes.blocked(now)) {
        throw new FairwayError('LIMIT_EXCEEDED', 'too many wrong claim codes', {
          hint: 'Wait a minute, then use the code that the server printed at its last start.',
        })
      }
      if (!sameHash(hashSecret(code), hash)) {
        this.#wrongCodes.fail(now)
        throw new FairwayError('UNAUTHENTICATED', 'wrong claim code', {
          hint: 'Use the code that the server printed at its last start.',
        })
      }
      // First the code ends: a crash in between costs a restart, not a code that works twice.
      await this.#store.setSetting(CLAIM_SETTING, null)
      const issued = await this.#issue({
        name,
        person: name,
        grants: [EVERYTHING],
        expiresAt: null,
      })
      await this.#claimed()
      return issued
    })
  }

  async createToken(by: Subject, wanted: NewToken): Promise<{ token: string; view: TokenView }> {
    return await this.#alone(async () => {
      const now = this.#clock.now()
      if (wanted.expiresAt !== null && wanted.expiresAt <= now) {
        throw new FairwayError('INVALID_REQUEST', 'expiresAt: expected a time in the future')
      }
      requireGiving(await this.rules.current(), by, wanted)
      const tokens = await this.#store.listTokens()
      if (tokens.some(({ name }) => likeness(name) === likeness(wanted.name))) {
        throw new FairwayError('CONFLICT', `a token ${JSON.stringify(wanted.name)} exists already`)
      }
      if (tokens.length >= MAX_TOKENS) {
        throw new FairwayError('LIMIT_EXCEEDED', `there are ${MAX_TOKENS} tokens already`, {
          hint: 'Revoke those that nobody uses.',
        })
      }
      return await this.#issue(wanted)
    })
  }

  async listTokens(by: Subject): Promise<readonly TokenView[]> {
    const rules = await this.rules.current()
    return (await this.#store.listTokens()).filter((token) => mayHold(rules, by, token)).map(view)
  }

  async revokeToken(by: Subject, id: string): Promise<boolean> {
    return await this.#alone(async () => {
      const rules = await this.rules.current()
      const found = (await this.#store.listTokens()).find((token) => token.id === id)
      if (found === undefined || !mayHold(rules, by, found)) return false
      const admins = await this.#validAdmins()
      if (admins.length === 1 && admins[0]?.id === id) {
        throw new FairwayError('CONFLICT', 'this is the last admin token', {
          hint: 'Make another admin token first.',
        })
      }
      const deleted = await this.#store.deleteToken(id)
      this.#revocations += 1
      for (const [hash, { record }] of this.#cache) if (record.id === id) this.#cache.delete(hash)
      return deleted
    })
  }

  async authenticate(token: string): Promise<Subject | null> {
    if (looksLikeSession(token)) return (await this.#sessions?.authenticate(token)) ?? null
    if (!looksLikeToken(token)) return null
    const hash = hashSecret(token)
    const record = await this.#find(hash)
    if (record === null || !sameHash(record.hash, hash)) return null
    const now = this.#clock.now()
    if (record.expiresAt !== null && record.expiresAt <= now) return null
    if (record.lastUsedAt === null || now - record.lastUsedAt >= TOUCH_MS) {
      const cached = this.#cache.get(hash)
      // Before the write, so that requests that come meanwhile do not write too.
      if (cached !== undefined) {
        this.#cache.set(hash, { ...cached, record: { ...record, lastUsedAt: now } })
      }
      await this.#store.touchToken(record.id, now)
    }
    await this.rules.current()
    return subjectOf(record)
  }

  async #find(hash: string): Promise<TokenRecord | null> {
    const now = this.#clock.now()
    const cached = this.#cache.get(hash)
    if (cached !== undefined && now - cached.at < CACHE_MS) return cached.record
    this.#cache.delete(hash)
    const before = this.#revocations
    const record = await this.#store.findTokenByHash(hash)
    if (record === null || before !== this.#revocations) return record
    if (this.#cache.size >= CACHE_ENTRIES) this.#cache.clear()
    this.#cache.set(hash, { record, at: now })
    return record
  }

  async #issue(wanted: NewToken): Promise<{ token: string; view: TokenView }> {
    const { id, token } = newToken(this.#randomBytes)
    const { name, person, grants, expiresAt } = wanted
    const record: TokenRecord = {
      id,
      name,
      hash: hashSecret(token),
      person,
      grants,
      createdAt: this.#clock.now(),
      expiresAt,
      lastUsedAt: null,
    }
    await this.#store.addToken(record)
    return { token, view: view(record) }
  }

  async #validAdmins(): Promise<readonly TokenRecord[]> {
    const now = this.#clock.now()
    return (await this.#store.listTokens()).filter(
      ({ grants, expiresAt }) =>
        grants.some(isFullAdmin) && (expiresAt === null || expiresAt > now),
    )
  }

  #alone<T>(task: () => Promise<T>): Promise<T> {
    return this.#mutex.run('tokens', task)
  }
}

export function subjectOf({ id, name, person, grants }: TokenRecord): Subject {
  return {
    id,
    name: person ?? name,
    kind: person === null ? 'token' : 'user',
    groups: [],
    grants,
  }
}

/** @throws FairwayError FORBIDDEN */
function requireGiving(rules: ReadRules, by: Subject, { person, grants }: NewToken): void {
  if (grants.some((grant) => !mayGive(rules, by, grant, 'token:write'))) {
    throw new FairwayError('FORBIDDEN', 'nobody can give a token more than they have themselves', {
      hint: '`fairway whoami` shows what you have.',
    })
  }
  // Who could make people could approve with them what they asked for themselves.
  if (person !== null && !by.grants.some(isFullAdmin)) {
    throw new FairwayError('FORBIDDEN', 'only an admin over everything makes tokens for people')
  }
}

/** Could `by` have made this token? Others do not exist for it. */
function mayHold(rules: ReadRules, by: Subject, { person, grants }: TokenRecord): boolean {
  if (person !== null && !by.grants.some(isFullAdmin)) return false
  return grants.every((grant) => mayGive(rules, by, grant, 'token:write'))
}

function view(record: TokenRecord): TokenView {
  const { id, name, person, grants, createdAt, expiresAt, lastUsedAt } = record
  return { id, name, person, grants, createdAt, expiresAt, lastUsedAt }
}
