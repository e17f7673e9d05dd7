import type { LoginWay } from '../model/login.ts'
import type { Checks, LoginProblem, Vouched } from './provider.ts'

/** A login between its first question and its session. */
export interface PendingLogin {
  readonly id: string
  readonly way: LoginWay
  readonly challenge: string
  readonly client: string
  /** What limits count by. */
  readonly from: string
  readonly code: string
  readonly expiresAt: number
  /** The browser that is at the provider now. Each visit of the page has its own; the last one counts. */
  readonly attempt: { readonly checks: Checks; readonly bindingHash: string } | null
  /** How it went at the provider, until the program asks. */
  readonly outcome: LoginOutcome | null
  readonly device: DevicePolling | null
}

export type LoginOutcome =
  | { readonly vouched: Vouched; readonly codeHash: string; readonly until: number }
  | { readonly problem: LoginProblem }

export interface DevicePolling {
  readonly deviceCode: string
  /** PKCE's, for the provider: RFC 7636, section 4.1. */
  readonly verifier: string
  readonly intervalMs: number
  readonly nextAt: number
}

/** Logins under way, in memory: who loses one begins again. Bounded, so that nobody can fill the server with them. */
export class PendingLogins {
  readonly #most: number
  readonly #logins = new Map<string, PendingLogin>()

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#logins.size
  }

  /** Where there is no room, the oldest of the address that has the most makes it: a crowd cannot push out a single one. */
  add(login: PendingLogin, now: number): void {
    if (this.#logins.size >= this.#most) this.#dropExpired(now)
    if (this.#logins.size >= this.#most) this.#dropOfBusiest()
    this.#logins.set(login.id, login)
  }

  get(id: string, now: number): PendingLogin | null {
    const login = this.#logins.get(id)
    if (login === undefined) return null
    if (login.expiresAt > now) return login
    this.#logins.delete(id)
    return null
  }

  /** Only where it is still there: what was ended meanwhile does not come back. */
  replace(login: PendingLogin): void {
    if (this.#logins.has(login.id)) this.#logins.set(login.id, login)
  }

  /** False where it was gone: of several that end a login one is the first. */
  remove(id: string): boolean {
    return this.#logins.delete(id)
  }

  #dropExpired(now: number): void {
    for (const [id, { expiresAt }] of this.#logins) if (expiresAt <= now) this.#logins.delete(id)
  }

  #dropOfBusiest(): void {
    const counts = new Map<string, number>()
    for (const { from } of this.#logins.values()) counts.set(from, (counts.get(from) ?? 0) + 1)
    const most = Math.max(...counts.values())
    for (const [id, { from }] of this.#logins) {
      if (counts.get(from) !== most) continue
      this.#logins.delete(id)
      return
    }
  }
}
