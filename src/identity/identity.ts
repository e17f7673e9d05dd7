import { KeyedMutex } from '../lib/mutex.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Identity, NewToken, Subject, TokenView } from '../model/identity.ts'
import type { Store, TokenRecord } from '../model/store.ts'
import { AttemptLimit } from './attempt-limit.ts'
import { decide } from './decide.ts'
import {
  hashSecret,
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
>

export interface IdentityOptions {
  readonly store: TokenStore
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  /** Told when the claim code has been used: it is worthless from then on. */
  readonly claimed?: () => Promise<void>
}

export interface ClaimableIdentity extends Identity {
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
  readonly decide = decide
  readonly #store: TokenStore
  readonly #clock: Clock
  readonly #randomBytes: RandomBytes
  readonly #claimed: () => Promise<void>
  readonly #cache = new Map<string, Cached>()
  readonly #wrongCodes = new AttemptLimit(WRONG_CODES, WRONG_CODES_WINDOW_MS)
  /** Claiming, making and revoking look before they write: one at a time. */
  readonly #mutex = new KeyedMutex()
  /** Grows with every revocation, so that a look-up that began before it is not cached after it. */
  #revocations = 0

  constructor({ store, clock, randomBytes, claimed = nothing }: IdentityOptions) {
    this.#store = store
    this.#clock = clock
    this.#randomBytes = randomBytes
    this.#claimed = claimed
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
      const issued = await this.#issue({ name, role: 'admin', expiresAt: null })
      await this.#claimed()
      return issued
    })
  }

  async createToken(wanted: NewToken): Promise<{ token: string; view: TokenView }> {
    return await this.#alone(async () => {
      const now = this.#clock.now()
      if (wanted.expiresAt !== null && wanted.expiresAt <= now) {
        throw new FairwayError('INVALID_REQUEST', 'expiresAt: expected a time in the future')
      }
      const tokens = await this.#store.listTokens()
      if (tokens.some(({ name }) => name === wanted.name)) {
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

  async listTokens(): Promise<readonly TokenView[]> {
    return (await this.#store.listTokens()).map(view)
  }

  async revokeToken(id: string): Promise<boolean> {
    return await this.#alone(async () => {
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
    return { id: record.id, name: record.name, role: record.role }
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
    const { name, role, expiresAt } = wanted
    const record: TokenRecord = {
      id,
      name,
      hash: hashSecret(token),
      role,
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
      ({ role, expiresAt }) => role === 'admin' && (expiresAt === null || expiresAt > now),
    )
  }

  #alone<T>(task: () => Promise<T>): Promise<T> {
    return this.#mutex.run('tokens', task)
  }
}

function view({ id, name, role, createdAt, expiresAt, lastUsedAt }: TokenRecord): TokenView {
  return { id, name, role, createdAt, expiresAt, lastUsedAt }
}
