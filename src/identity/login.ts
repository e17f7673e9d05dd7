import { createHash } from 'node:crypto'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type {
  BegunLogin,
  Login,
  LoginPage,
  LoginRequest,
  Redeemed,
  Redemption,
  SessionBegins,
  SessionView,
  UserView,
} from '../model/login.ts'
import { AddressLimit, networkOf } from './address-limit.ts'
import { PendingLogins, type DevicePolling, type PendingLogin } from './pending-logins.ts'
import { loginError, LoginProblem, type Provider, type Vouched } from './provider.ts'
import { hashSecret, randomText, sameHash, type RandomBytes } from './token-secret.ts'

/** Makes the session of somebody whom the provider vouches for. */
export interface SessionIssuer {
  /**
   * @param begins called once it is sure whose it will be, and before it is
   * @throws FairwayError LOGIN_REFUSED, and whatever `begins` rejects with
   */
  issue(
    vouched: Vouched,
    client: string,
    begins: SessionBegins,
  ): Promise<{
    readonly token: string
    readonly user: UserView
    readonly session: SessionView
  }>
}

export interface LoginOptions {
  /** Null = this server has none. */
  readonly provider: Provider | null
  /** Base URL under which browsers reach this server, without a slash at the end. */
  readonly publicUrl: string
  readonly sessions: SessionIssuer
  readonly clock: Clock
  readonly randomBytes: RandomBytes
}

const LOGIN_MS = 600_000
/** From the browser's return to the program's question: they are on one machine. */
const CODE_MS = 60_000
const MAX_PENDING = 2000
const BEGINS = 30
const BEGINS_WINDOW_MS = 60_000
/** Device logins that wait for the provider's first answer at the same time. */
const MAX_BEGINNING = 20
/** RFC 8628, section 3.5: how much slower after `slow_down`. */
const SLOWER_MS = 5000
const CODE_LETTERS = 'BCDFGHJKLMNPQRSTVWXZ'

/** Logins at an OpenID provider over one `Provider`. */
export class ProviderLogin implements Login {
  readonly #options: LoginOptions
  readonly #pending = new PendingLogins(MAX_PENDING)
  readonly #begins = new AddressLimit(BEGINS, BEGINS_WINDOW_MS)
  #beginning = 0

  constructor(options: LoginOptions) {
    this.#options = options
  }

  async begin(request: LoginRequest): Promise<BegunLogin> {
    const provider = this.#provider()
    const now = this.#now()
    if (!this.#begins.admits(request.from, now)) {
      throw new FairwayError('LIMIT_EXCEEDED', 'too many logins were begun from this address', {
        hint: 'Wait a minute.',
      })
    }
    const { way, challenge, client } = request
    const login: PendingLogin = {
      id: this.#random(16),
      way,
      challenge,
      client,
      from: networkOf(request.from),
      code: comparisonCode(this.#options.randomBytes),
      expiresAt: now + LOGIN_MS,
      attempt: null,
      outcome: null,
      device: null,
    }
    if (way.kind === 'device') return await this.#beginDevice(provider, login)
    this.#pending.add(login, now)
    return {
      id: login.id,
      url: `${this.#options.publicUrl}/oidc/login/${login.id}`,
      completeUrl: null,
      code: login.code,
      intervalMs: null,
      expiresAt: login.expiresAt,
    }
  }

  async openPage(id: string): Promise<LoginPage> {
    const provider = this.#provider()
    const login = this.#open(id)
    if (login.way.kind !== 'browser' || login.outcome !== null) throw ended()
    const checks = {
      state: `${login.id}.${this.#random(43)}`,
      nonce: this.#random(43),
      verifier: this.#random(64),
    }
    const binding = this.#random(43)
    const url = await asking(() => provider.authorizationUrl(checks))
    const attempt = { checks, bindingHash: hashSecret(binding) }
    this.#pending.replace({ ...login, attempt })
    const { code, client } = login
    return { url, binding, code, client, provider: new URL(provider.issuer).host }
  }

  async finish(query: string, binding: (login: string) => string | undefined): Promise<string> {
    const provider = this.#provider()
    const states = new URLSearchParams(query).getAll('state')
    const [state = ''] = states
    const id = /^([0-9A-Za-z]{16})\.[0-9A-Za-z]{43}$/.exec(state)?.[1]
    if (id === undefined || states.length !== 1) throw ended()
    const login = this.#open(id)
    const { way, attempt } = login
    if (way.kind !== 'browser' || attempt === null) throw ended()
    const known = sameHash(hashSecret(state), hashSecret(attempt.checks.state))
    const cookie = binding(id)
    if (!known || cookie === undefined || !sameHash(hashSecret(cookie), attempt.bindingHash)) {
      throw new FairwayError('LOGIN_REFUSED', 'this login was begun in another browser or window')
    }
    // Before anything is asked: of two requests with the same code the second one finds nothing.
    this.#pending.replace({ ...login, attempt: null })
    const target = new URL(`http://127.0.0.1:${way.port}/callback`)
    target.searchParams.set('state', way.state)
    try {
      const vouched = await provider.exchange(query, attempt.checks)
      const code = this.#random(43)
      const outcome = { vouched, codeHash: hashSecret(code), until: this.#now() + CODE_MS }
      this.#pending.replace({ ...login, attempt: null, outcome })
      target.searchParams.set('code', code)
    } catch (error) {
      if (!(error instanceof LoginProblem)) throw error
      this.#pending.replace({ ...login, attempt: null, outcome: { problem: error } })
      target.searchParams.set('error', error.kind)
    }
    return target.href
  }

  async redeem(
    id: string,
    { verifier, code }: Redemption,
    begins: SessionBegins,
  ): Promise<Redeemed> {
    const login = this.#open(id)
    if (!sameHash(hashSecret(challengeOf(verifier)), hashSecret(login.challenge))) throw ended()
    const { device, outcome } = login
    if (device !== null) return await this.#askDevice(login, device, begins)
    // Whatever comes now, this was its one try.
    if (!this.#pending.remove(id) || outcome === null) throw ended()
    if ('problem' in outcome) throw loginError(outcome.problem)
    const right = code !== null && sameHash(hashSecret(code), outcome.codeHash)
    if (!right || outcome.until <= this.#now()) throw ended()
    return await this.#done(outcome.vouched, login.client, begins)
  }

  async #beginDevice(provider: Provider, login: PendingLogin): Promise<BegunLogin> {
    if (this.#beginning >= MAX_BEGINNING) {
      throw new FairwayError('LIMIT_EXCEEDED', 'too many logins wait for the identity provider')
    }
    this.#beginning += 1
    try {
      const verifier = this.#random(64)
      const { deviceCode, userCode, url, completeUrl, expiresInMs, intervalMs } = await asking(() =>
        provider.beginDevice(verifier),
      )
      const now = this.#now()
      const expiresAt = now + Math.min(expiresInMs, LOGIN_MS)
      const device = { deviceCode, verifier, intervalMs, nextAt: now + intervalMs }
      this.#pending.add({ ...login, expiresAt, device }, now)
      return { id: login.id, url, completeUrl, code: userCode, intervalMs, expiresAt }
    } finally {
      this.#beginning -= 1
    }
  }

  /** Asks the provider once where it is time: who asks us more often learns nothing sooner. */
  async #askDevice(
    login: PendingLogin,
    device: DevicePolling,
    begins: SessionBegins,
  ): Promise<Redeemed> {
    const now = this.#now()
    if (now < device.nextAt) return { status: 'waiting', intervalMs: device.nextAt - now }
    const { deviceCode, verifier, intervalMs } = device
    this.#pending.replace({ ...login, device: { ...device, nextAt: now + intervalMs } })
    try {
      const answer = await this.#provider().pollDevice(deviceCode, verifier)
      if (answer === 'pending') return { status: 'waiting', intervalMs }
      if (answer === 'slow down') return this.#waitLonger(login, device)
      if (!this.#pending.remove(login.id)) throw ended()
      return await this.#done(answer, login.client, begins)
    } catch (error) {
      if (error instanceof LoginProblem && error.kind === 'down') {
        return this.#waitLonger(login, device)
      }
      this.#pending.remove(login.id)
      throw loginError(error)
    }
  }

  #waitLonger(login: PendingLogin, device: DevicePolling): Redeemed {
    const longer = Math.min(device.intervalMs + SLOWER_MS, 60_000)
    const later = { ...device, intervalMs: longer, nextAt: this.#now() + longer }
    this.#pending.replace({ ...login, device: later })
    return { status: 'waiting', intervalMs: longer }
  }

  async #done(vouched: Vouched, client: string, begins: SessionBegins): Promise<Redeemed> {
    return { status: 'done', ...(await this.#options.sessions.issue(vouched, client, begins)) }
  }

  #open(id: string): PendingLogin {
    const login = this.#pending.get(id, this.#now())
    if (login === null) throw ended()
    return login
  }

  #provider(): Provider {
    const { provider } = this.#options
    if (provider !== null) return provider
    throw new FairwayError('LOGIN_UNAVAILABLE', 'this server has no identity provider', {
      details: { provider: null },
      hint: 'Log in with `fairway login URL --token TOKEN`; docs/access.md tells how to set one up.',
    })
  }

  #now(): number {
    return this.#options.clock.now()
  }

  #random(letters: number): string {
    return randomText(letters, this.#options.randomBytes)
  }
}

async function asking<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw loginError(error)
  }
}

/** One answer for everything that is not, or no longer, a login: who guesses learns nothing. */
function ended(): FairwayError {
  return new FairwayError('LOGIN_REFUSED', 'this login is unknown, used or expired')
}

/** RFC 7636, section 4.6. */
function challengeOf(verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url')
}

/** `BCDF-GHJK`: 34 bits, no vowels, so no words. */
function comparisonCode(randomBytes: RandomBytes): string {
  const letters = [...randomBytes(64)]
    .filter((byte) => byte < 256 - (256 % CODE_LETTERS.length))
    .map((byte) => CODE_LETTERS[byte % CODE_LETTERS.length] ?? '')
  return `${letters.slice(0, 4).join('')}-${letters.slice(4, 8).join('')}`
}
