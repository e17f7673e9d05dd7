import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Secret, ValueState } from '../model/secrets.ts'
import { isGood, nextStep, type RenewalStep } from './renewal.ts'
import type { VaultLease, VaultReader, VaultValues } from './vault-reader.ts'

/** What is kept of a leased value, so that the next server does not make another. */
export interface KeptLease {
  readonly values: ReadonlyMap<string, Secret>
  readonly lease: VaultLease
}

export interface HeldSecretOptions {
  readonly path: string
  readonly reader: Pick<VaultReader, 'read' | 'renew' | 'revoke'>
  /** When the session of this number ends; null = it is kept alive. */
  readonly sessionEnd: (number: number) => number | null
  /** When the current session ends unless it is renewed; null = never, or it is the next server's too. */
  readonly sessionLimit: () => number | null
  readonly keep: (kept: KeptLease | null) => Promise<void>
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  /** How often a value without a lease is looked at. */
  readonly refreshMs: number
  readonly onChange: () => void
}

/** How long it is held after it was asked for, and after the last holder left: whoever comes next finds it. */
export const ASKED_MS = 30_000
const LEFT_MS = 3_000
/** Readers of the same moment get the same answer. */
const FRESH_MS = 1_000
const TRIES = 3
const REVOKE_TRIES = 5

/** The values at one path of Vault as one environment holds them: all its instances share them, and the lease. */
export class HeldSecret {
  readonly #options: HeldSecretOptions
  #current: VaultValues | null = null
  /** Leases of values that were replaced, of which some instance may still live. */
  readonly #former: VaultLease[] = []
  #reading: Promise<VaultValues> | null = null
  #readAt = -Infinity
  #failures = 0
  #triedAt = 0
  #random: number
  #revision = 0
  #trouble: string | null = null
  #holders = 0
  #isKept = false
  #keepUntil: number
  #poke = new AbortController()

  /** @param kept what an earlier server held */
  constructor(options: HeldSecretOptions, kept: KeptLease | null) {
    this.#options = options
    this.#random = options.random()
    this.#keepUntil = options.clock.now() + ASKED_MS
    if (kept === null) return
    this.#isKept = true
    this.#current = { ...kept, session: 0 }
    this.#readAt = kept.lease.issuedAt
  }

  get state(): ValueState {
    return { revision: this.#revision, trouble: this.#trouble }
  }

  /** For an instance that starts. @throws FairwayError as `VaultReader.read` */
  async values(): Promise<ReadonlyMap<string, Secret>> {
    const { clock } = this.#options
    const now = clock.now()
    this.#keepUntil = Math.max(this.#keepUntil, now + ASKED_MS)
    const lease = this.#lease()
    const isUsable = lease === null ? now - this.#readAt < FRESH_MS : isGood(lease, now)
    if (this.#current !== null && isUsable) return this.#current.values
    for (let tries = 1; ; tries++) {
      try {
        return (await this.#read()).values
      } catch (error) {
        if (tries === TRIES || !isUnavailable(error)) throw error
        await clock.sleep(250 * tries)
      }
    }
  }

  hold(): () => void {
    this.#holders += 1
    this.poke()
    return () => {
      this.#holders -= 1
      this.#keepUntil = Math.max(this.#keepUntil, this.#options.clock.now() + LEFT_MS)
      this.poke()
    }
  }

  /** Looks at once what is due. */
  poke(): void {
    this.#poke.abort(new Error('poked'))
    this.#poke = new AbortController()
  }

  /**
   * Keeps the values good until nobody holds them, then gives their leases back; aborting leaves the leases as they are.
   * @param leave told before anything is given back: from then on nobody may ask for values here
   */
  async tend(signal: AbortSignal, leave: () => void): Promise<void> {
    const { clock } = this.#options
    while (!signal.aborted) {
      const now = clock.now()
      if (this.#holders === 0 && now >= this.#keepUntil) {
        leave()
        return this.#giveBack(signal)
      }
      const step = this.#nextStep(now)
      if (step.at <= now) await this.#do(step)
      else {
        const until = this.#holders === 0 ? Math.min(step.at, this.#keepUntil) : step.at
        const woken = AbortSignal.any([signal, this.#poke.signal])
        await clock.sleep(Math.min(until - now, LONGEST_MS), woken).catch(() => undefined)
      }
    }
  }

  // Private

  #lease(): VaultLease | null {
    const { lease = null, session = 0 } = this.#current ?? {}
    if (lease === null) return null
    return { ...lease, endsAt: this.#options.sessionEnd(session) ?? lease.endsAt }
  }

  #nextStep(now: number): RenewalStep {
    return nextStep({
      ...{ now, readAt: this.#readAt, lease: this.#lease(), refreshMs: this.#options.refreshMs },
      ...{ failures: this.#failures, triedAt: this.#triedAt, random: this.#random },
    })
  }

  async #do({ kind }: RenewalStep): Promise<void> {
    const { clock, log, path, random } = this.#options
    try {
      if (kind === 'read' || !(await this.#renew())) await this.#read()
      if (this.#trouble !== null) log.info({ path }, 'value of Vault is looked after again')
      this.#failures = 0
      this.#tell(null)
    } catch (error) {
      this.#failures += 1
      this.#triedAt = clock.now()
      const text = error instanceof FairwayError ? error.message : String(error)
      if (this.#trouble === null) log.warn({ path, error: text }, 'value of Vault is not renewed')
      this.#tell(text)
    }
    this.#random = random()
  }

  #read(): Promise<VaultValues> {
    this.#reading ??= this.#readNow().finally(() => {
      this.#reading = null
    })
    return this.#reading
  }

  async #readNow(): Promise<VaultValues> {
    const { reader, clock, path } = this.#options
    const found = await reader.read(path)
    const before = this.#current
    if (before !== null && before.lease !== null) this.#former.push(before.lease)
    this.#current = found
    this.#readAt = clock.now()
    await this.#keepLease()
    if (before !== null && !isSame(before.values, found.values)) {
      this.#revision += 1
      this.#options.onChange()
    }
    this.poke()
    return found
  }

  /** False where it cannot be renewed any more. */
  async #renew(): Promise<boolean> {
    const held = this.#current
    if (held?.lease == null) return false
    const lease = await this.#options.reader.renew(held.lease)
    if (lease === null) return false
    if (this.#current === held) {
      this.#current = { ...held, lease }
      await this.#keepLease()
    }
    return true
  }

  /** What cannot be kept is good all the same: the next server reads it anew. */
  async #keepLease(): Promise<void> {
    const { keep, sessionLimit, log, path } = this.#options
    const { lease = null, values = new Map<string, Secret>() } = this.#current ?? {}
    if (lease === null && !this.#isKept) return
    this.#isKept = lease !== null
    try {
      await keep(lease === null ? null : { values, lease: { ...lease, endsAt: sessionLimit() } })
    } catch (error) {
      log.warn({ path, error: String(error) }, 'a lease of Vault could not be kept')
    }
  }

  async #giveBack(signal: AbortSignal): Promise<void> {
    const { reader, clock, log, path, keep } = this.#options
    const lease = this.#current?.lease ?? null
    this.#current = null
    for (const each of [...this.#former, ...(lease === null ? [] : [lease])]) {
      if (each.issuedAt + each.durationMs < clock.now()) continue
      for (let tries = 1; tries <= REVOKE_TRIES && !signal.aborted; tries++) {
        const isGone = await reader.revoke(each).catch(() => null)
        if (isGone === true) break
        if (isGone === false || tries === REVOKE_TRIES)
          log.warn({ path }, 'a lease of Vault could not be given back: it ends by itself')
        if (isGone === false) break
        await clock.sleep(1000 * tries, signal).catch(() => undefined)
      }
    }
    if (!signal.aborted && this.#isKept) await keep(null)
  }

  #tell(trouble: string | null): void {
    if (this.#trouble === trouble) return
    this.#trouble = trouble
    this.#options.onChange()
  }
}

/** Timers of JavaScript end at 2^31 ms; and a clock that was set is noticed. */
const LONGEST_MS = 3_600_000

function isUnavailable(error: unknown): boolean {
  return error instanceof FairwayError && error.code === 'VAULT_UNAVAILABLE'
}

function isSame(a: ReadonlyMap<string, Secret>, b: ReadonlyMap<string, Secret>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key)?.equals(value) === true)
}
