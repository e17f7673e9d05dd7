import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../lib/log.ts'
import type { Lease, LeaseHold } from '../model/lease.ts'

export interface LeaseKeeperOptions {
  readonly lease: Lease
  readonly holder: string
  /** It is renewed three times in that. */
  readonly ttlMs: number
  readonly log: Log
  /** How often one that another has is asked for; default a third of its time to live. */
  readonly askMs?: number
  /** Milliseconds of a clock that nobody sets, such as `performance.now`. */
  readonly elapsedMs: () => number
}

export interface KeptLease {
  readonly hold: LeaseHold
  /** Aborts when it is another's, or may be: before its time to live is over by this process's own measure. */
  readonly lost: AbortSignal
  /** Ends the renewals and frees it. */
  release(): Promise<void>
}

/** Waits until the lease is ours, then keeps it. @throws the signal's reason when it aborts before; what the lease throws is waited out */
export async function keepLease(
  options: LeaseKeeperOptions,
  signal: AbortSignal,
): Promise<KeptLease> {
  const { lease, holder, ttlMs, log, elapsedMs, askMs = ttlMs / 3 } = options
  let told = false
  for (;;) {
    signal.throwIfAborted()
    const askedAt = elapsedMs()
    const hold = await tried(() => lease.acquire(holder, ttlMs), log)
    if (hold !== null) return kept(options, hold, askedAt)
    if (!told)
      log.info({ holder: (await tried(() => lease.current(), log))?.holder }, 'waits for the lease')
    told = true
    await sleep(askMs, undefined, { signal })
  }
}

function kept(options: LeaseKeeperOptions, hold: LeaseHold, askedAt: number): KeptLease {
  const { lease, log } = options
  const stop = new AbortController()
  const lost = new AbortController()
  const renewing = renewUntilLost(options, hold, askedAt, stop.signal).then((why) => {
    if (why === null) return
    log.error({ token: hold.token, reason: why }, 'lost the lease')
    lost.abort(new Error(`lost the lease: ${why}`))
  })
  return {
    hold,
    lost: lost.signal,
    release: async () => {
      stop.abort()
      await renewing
      await tried(() => lease.release(hold).then(() => null), log)
    },
  }
}

/** Why it was lost; null when told to stop. */
async function renewUntilLost(
  { lease, ttlMs, log, elapsedMs }: LeaseKeeperOptions,
  hold: LeaseHold,
  askedAt: number,
  stop: AbortSignal,
): Promise<string | null> {
  // A tenth is left for those who hear of it to stop.
  const usableMs = ttlMs * 0.9
  let validUntil = askedAt + usableMs
  for (;;) {
    const pauseMs = Math.max(0, Math.min(ttlMs / 3, validUntil - elapsedMs()))
    await sleep(pauseMs, undefined, { signal: stop }).catch(() => undefined)
    if (stop.aborted) return null
    const calledAt = elapsedMs()
    if (calledAt >= validUntil) return 'it could not be renewed in time'
    const answer = await beforeDeadline(
      tried(() => lease.renew(hold, ttlMs), log),
      validUntil - calledAt,
    )
    if (answer === false) return 'another has it'
    if (answer === true) validUntil = calledAt + usableMs
  }
}

/** Null where the time is over first. */
async function beforeDeadline<T>(answer: Promise<T | null>, ms: number): Promise<T | null> {
  const timer = new AbortController()
  const late = sleep(ms, null, { signal: timer.signal }).catch(() => null)
  try {
    return await Promise.race([answer, late])
  } finally {
    timer.abort()
  }
}

/** Null where the lease cannot be asked: that passes, or time does. */
async function tried<T>(call: () => Promise<T | null>, log: Log): Promise<T | null> {
  try {
    return await call()
  } catch (error) {
    log.warn(
      { reason: error instanceof Error ? error.message : String(error) },
      'the lease does not answer',
    )
    return null
  }
}
