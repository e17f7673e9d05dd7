import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { Secret } from '../model/secrets.ts'
import { nextStep, type LeaseTimes } from './renewal.ts'
import { fieldsOf, type JsonFields, type VaultClient } from './vault-client.ts'

/** How the server proves to Vault who it is. What must stay secret is in files, which are read again for each login. */
export type VaultAuth =
  | { readonly method: 'token'; readonly tokenFile: string }
  | {
      readonly method: 'approle'
      readonly mount: string
      readonly roleId: string
      readonly secretIdFile: string
    }
  /** Also Kubernetes' auth method, which is asked the same way. */
  | {
      readonly method: 'jwt'
      readonly mount: string
      readonly role: string
      readonly jwtFile: string
    }

export interface VaultLoginOptions {
  readonly client: VaultClient
  readonly auth: VaultAuth
  /** Text of a file. */
  readonly readFile: (path: string) => Promise<string>
  readonly clock: Clock
  readonly log: Log
  /** From 0 to 1. */
  readonly random: () => number
  /** A new token is in use: what was read under the one before ends with that. */
  readonly onNew: () => void
}

/** A token of Vault in use. */
export interface VaultSession {
  readonly token: Secret
  /** Counts the tokens of this login. */
  readonly number: number
  /** Null = it never ends. */
  readonly times: LeaseTimes | null
}

/** Keeps one token good: renews it at two thirds of its life, and logs in anew where that is not possible any more. */
export class VaultLogin {
  readonly #options: VaultLoginOptions
  readonly #ends = new Map<number, number>()
  #session: VaultSession | null = null
  #count = 0
  #pending: Promise<VaultSession> | null = null
  #failures = 0
  #triedAt = 0
  #random = 0.5

  constructor(options: VaultLoginOptions) {
    this.#options = options
  }

  /** The token to use now. @throws FairwayError VAULT_UNAVAILABLE, with the reason where Vault refuses the login */
  async session(): Promise<VaultSession> {
    const known = this.#session
    const isGood =
      known !== null && (known.times === null || this.#options.clock.now() < endsAt(known.times))
    if (known !== null && isGood && !(await this.#isReplaced(known))) return known
    return this.#login()
  }

  /** A new one, because Vault does not know this one any more. */
  async instead(of: VaultSession): Promise<VaultSession> {
    if (this.#session?.number === of.number) {
      this.#session = null
      this.#ends.set(of.number, this.#options.clock.now())
    }
    return this.session()
  }

  /** When what was read with this session ends in any case; null = the session is kept alive. */
  endOf(number: number): number | null {
    return this.#ends.get(number) ?? null
  }

  /** When the session that is used now ends for a server that does not have its token; null = never, or the next server is given the same token. */
  limit(): number | null {
    const times = this.#session?.times ?? null
    return times === null || this.#options.auth.method === 'token' ? null : endsAt(times)
  }

  /** Until the signal aborts. */
  async keep(signal: AbortSignal): Promise<void> {
    const { clock, log, client } = this.#options
    for (let told = false; !signal.aborted;) {
      try {
        await this.#tend()
        if (this.#failures > 0 || told) log.info({ vault: client.host }, 'logged in to Vault again')
        this.#failures = 0
        told = false
      } catch (error) {
        this.#failures += 1
        this.#triedAt = clock.now()
        if (!told) log.warn({ vault: client.host, error: String(error) }, 'no login to Vault')
        told = true
      }
      this.#random = this.#options.random()
      await clock.sleep(this.#pause(), signal).catch(() => undefined)
    }
  }

  // Private

  #pause(): number {
    const now = this.#options.clock.now()
    const times = this.#session?.times ?? null
    if (this.#failures === 0 && times === null) return LOOK_MS
    return Math.min(Math.max(this.#next(times, now).at - now, 100), LOOK_MS)
  }

  #next(times: LeaseTimes | null, now: number) {
    const [failures, triedAt, random] = [this.#failures, this.#triedAt, this.#random]
    return nextStep({ now, readAt: 0, lease: times, failures, triedAt, refreshMs: 0, random })
  }

  async #tend(): Promise<void> {
    const session = await this.session()
    if (session.times === null) return
    const now = this.#options.clock.now()
    const step = nextStep({
      ...{ now, readAt: 0, lease: session.times, failures: 0, triedAt: 0 },
      ...{ refreshMs: 0, random: this.#random },
    })
    if (step.at > now) return
    if (step.kind === 'renew' && (await this.#renew(session, session.times))) return
    await this.#login()
  }

  /** False where it cannot be renewed. */
  async #renew(session: VaultSession, times: LeaseTimes): Promise<boolean> {
    const { client, clock } = this.#options
    const path = 'auth/token/renew-self'
    const answer = await client.ask({ method: 'POST', path, token: session.token, body: {} })
    const auth = answer.status === 200 ? fieldsOf(answer.fields['auth']) : null
    if (auth === null) return false
    const renewed = timesOf(auth, 'lease_duration', clock.now())
    if (renewed !== null && this.#session?.number === session.number)
      this.#session = { ...session, times: { ...renewed, grantMs: times.grantMs } }
    return true
  }

  #login(): Promise<VaultSession> {
    this.#pending ??= this.#newSession().finally(() => {
      this.#pending = null
    })
    return this.#pending
  }

  async #newSession(): Promise<VaultSession> {
    const { auth } = this.#options
    const found = auth.method === 'token' ? await this.#given(auth.tokenFile) : await this.#asked()
    const before = this.#session
    const isSame = before?.token.equals(found.token) === true
    if (!isSame) this.#count += 1
    if (before !== null && !isSame && before.times !== null)
      this.#ends.set(before.number, endsAt(before.times))
    const session = { ...found, number: this.#count }
    this.#session = session
    if (!isSame && session.number > 1) this.#options.onNew()
    return session
  }

  /** A token that somebody else made: what Vault says of it. */
  async #given(path: string): Promise<Omit<VaultSession, 'number'>> {
    const { client, clock } = this.#options
    const token = Secret.of(await this.#file(path))
    const answer = await client.ask({ method: 'GET', path: 'auth/token/lookup-self', token })
    const data = answer.status === 200 ? fieldsOf(answer.fields['data']) : null
    if (data === null) throw this.#refused(answer.reason, `the token in ${path}`)
    return { token, times: timesOf(data, 'ttl', clock.now()) }
  }

  async #asked(): Promise<Omit<VaultSession, 'number'>> {
    const { client, clock, auth } = this.#options
    if (auth.method === 'token') return this.#given(auth.tokenFile)
    const proof = await this.#file(auth.method === 'approle' ? auth.secretIdFile : auth.jwtFile)
    const body =
      auth.method === 'approle'
        ? { role_id: auth.roleId, secret_id: proof }
        : { role: auth.role, jwt: proof }
    const path = `auth/${auth.mount}/login`
    const answer = await client.ask({ method: 'POST', path, token: null, body })
    const given = answer.status === 200 ? fieldsOf(answer.fields['auth']) : null
    const token = given?.['client_token']
    if (given === null || typeof token !== 'string' || token === '')
      throw this.#refused(
        answer.reason.includes(proof) ? '' : answer.reason,
        `the login at auth/${auth.mount}`,
      )
    return { token: Secret.of(token), times: timesOf(given, 'lease_duration', clock.now()) }
  }

  /** Somebody put another token into the file. */
  async #isReplaced(session: VaultSession): Promise<boolean> {
    const { auth } = this.#options
    if (auth.method !== 'token') return false
    return !Secret.of(await this.#file(auth.tokenFile)).equals(session.token)
  }

  async #file(path: string): Promise<string> {
    const { readFile } = this.#options
    try {
      const text = (await readFile(path)).trim()
      if (text !== '') return text
    } catch (cause) {
      throw new FairwayError('VAULT_UNAVAILABLE', `${path} cannot be read`, { cause })
    }
    throw new FairwayError('VAULT_UNAVAILABLE', `${path} is empty`)
  }

  #refused(reason: string, what: string): FairwayError {
    const { host } = this.#options.client
    const said = reason === '' ? '' : `: ${reason}`
    return new FairwayError('VAULT_UNAVAILABLE', `Vault (${host}) refuses ${what}${said}`, {
      hint: 'Whoever runs the server looks at its FAIRWAY_VAULT_* and at the role in Vault; docs/secrets.md.',
    })
  }
}

/** So often is looked whether a token is due, or was replaced. */
const LOOK_MS = 30_000

function endsAt({ issuedAt, durationMs }: LeaseTimes): number {
  return issuedAt + durationMs
}

/** Null = it never ends. */
function timesOf(fields: JsonFields, duration: string, now: number): LeaseTimes | null {
  const seconds = fields[duration]
  if (typeof seconds !== 'number' || seconds <= 0) return null
  const durationMs = seconds * 1000
  const renewable = fields['renewable'] === true
  return { issuedAt: now, durationMs, renewable, grantMs: durationMs, endsAt: null }
}
