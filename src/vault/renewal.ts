import { backoffMs } from '../lib/backoff.ts'

/** What is known of a lease, or of the token of a login. Times are milliseconds, `issuedAt` and `endsAt` since 1970. */
export interface LeaseTimes {
  /** When it was given or last renewed. */
  readonly issuedAt: number
  readonly durationMs: number
  readonly renewable: boolean
  /** Duration that it was first given: what a renewal gives when no limit is near. */
  readonly grantMs: number
  /** When the login ends that it was read with, and it with the login; null = the login is kept alive. */
  readonly endsAt: number | null
}

export interface RenewalFacts {
  readonly now: number
  readonly readAt: number
  /** Null = the value has none: it is looked at from time to time. */
  readonly lease: LeaseTimes | null
  /** Tries that failed since the last that did not, and when the last was. */
  readonly failures: number
  readonly triedAt: number
  /** How often a value without a lease is looked at. */
  readonly refreshMs: number
  /** From 0 to 1, drawn once per step, so that many do not ask at once. */
  readonly random: number
}

export interface RenewalStep {
  /** `renew` = the same value for longer; `read` = whatever is there now, under a lease of its own. */
  readonly kind: 'renew' | 'read'
  /** Not before this. */
  readonly at: number
}

const PAUSES = { firstMs: 1000, maxMs: 60_000 }

/**
 * Pure: what is to be done next for a value that is held. A lease is renewed at two thirds of its life, give or take a twentieth; one that cannot be renewed,
 * or whose renewals get shorter because its longest life is near, is read anew then, while the old one is still good. After a failure the pauses grow, to a minute at
 * most, and before the end of a lease to a third of what is left of it.
 */
export function nextStep(facts: RenewalFacts): RenewalStep {
  const { now, readAt, lease, failures, refreshMs, random } = facts
  if (lease === null) {
    const due = readAt + refreshMs * (0.9 + 0.2 * random)
    return { kind: 'read', at: failures === 0 ? due : triedAgain(facts, Infinity) }
  }
  const end = endOf(lease)
  const due = lease.issuedAt + (end - lease.issuedAt) * (2 / 3 + 0.1 * (random - 0.5))
  const kind = isRenewable(lease) && now < end ? 'renew' : 'read'
  return { kind, at: failures === 0 ? due : triedAgain(facts, end) }
}

/** When it is no longer good. */
export function endOf({ issuedAt, durationMs, endsAt }: LeaseTimes): number {
  return Math.min(issuedAt + durationMs, endsAt ?? Infinity)
}

/** Whether what it protects can be given to somebody who starts now: past four fifths of its life it is about to be replaced. */
export function isGood(lease: LeaseTimes, now: number): boolean {
  return now < lease.issuedAt + (endOf(lease) - lease.issuedAt) * 0.8
}

function isRenewable({ renewable, durationMs, grantMs, endsAt }: LeaseTimes): boolean {
  return renewable && endsAt === null && durationMs * 2 >= grantMs
}

function triedAgain({ now, failures, triedAt, random }: RenewalFacts, end: number): number {
  const growing = backoffMs(failures, PAUSES)
  const left = now < end ? Math.max(PAUSES.firstMs, (end - triedAt) / 3) : Infinity
  return triedAt + Math.min(growing, left) * (0.9 + 0.2 * random)
}
