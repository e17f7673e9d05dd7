import { NOBODY, type AuditEvent } from '../model/audit.ts'

/** Kept one by one in a window, of each who showed a valid token, and of all together who did not. */
const KEPT = 10
const KEPT_OF_NOBODY = 30
/** Different things that are counted apart in a window; the rest is one number. */
const COUNTED = 32
/** Who showed a valid token is one of a bounded number; beyond this they share a window. */
const ACTORS = 2000
const WINDOW_MS = 60_000
/** A window of a flood that goes on is twice as long as the one before, up to this. */
const LONGEST_WINDOW_MS = 3_600_000

interface Counted {
  readonly event: AuditEvent
  readonly first: number
  count: number
  last: number
}

interface Window {
  readonly since: number
  readonly ms: number
  readonly counted: Map<string, Counted>
  kept: number
  rest: Counted | null
}

/**
 * Whoever is refused over and over must not fill the disk: per window some denials are kept as they are, further ones are counted by what
 * they were. A flood of a day is a few thousand records, whoever sends it and whatever it varies.
 */
export class DenialLimit {
  readonly #windows = new Map<string, Window>()

  /** The event where it is to be kept; null where it was counted. `finished` must have been asked before at this time. */
  admit(event: AuditEvent, now: number): AuditEvent | null {
    const key = this.#keyOf(event)
    const window = this.#windows.get(key) ?? newWindow(now, WINDOW_MS)
    this.#windows.set(key, window)
    if (window.kept < (key === '' ? KEPT_OF_NOBODY : KEPT)) {
      window.kept += 1
      return event
    }
    countIn(window, event, now)
    return null
  }

  /** What was counted in the windows that are over at `now`; with Infinity, in all. */
  finished(now: number): readonly AuditEvent[] {
    return [...this.#windows].flatMap(([key, window]) => {
      if (now - window.since < window.ms) return []
      const sums = sumsOf(window)
      if (sums.length === 0) this.#windows.delete(key)
      else this.#windows.set(key, newWindow(now, Math.min(window.ms * 2, LONGEST_WINDOW_MS)))
      return sums
    })
  }

  #keyOf({ actor }: AuditEvent): string {
    if (actor.id === null) return ''
    return this.#windows.has(actor.id) || this.#windows.size < ACTORS ? actor.id : 'others'
  }
}

function newWindow(since: number, ms: number): Window {
  return { since, ms, counted: new Map(), kept: 0, rest: null }
}

function countIn(window: Window, event: AuditEvent, now: number): void {
  const key = JSON.stringify([event.action, event.app, event.environment, event.from])
  const known = window.counted.get(key)
  const counted = known ?? { event, first: now, count: 0, last: now }
  if (known === undefined && window.counted.size >= COUNTED) {
    window.rest ??= counted
    window.rest.count += 1
    window.rest.last = now
    return
  }
  counted.count += 1
  counted.last = now
  window.counted.set(key, counted)
}

function sumsOf({ counted, rest }: Window): readonly AuditEvent[] {
  const sums = [...counted.values()].map(({ event, count, first, last }) => ({
    ...event,
    target: null,
    request: null,
    reason: 'denied again and again; counted, not kept one by one',
    facts: { count, first, last },
  }))
  if (rest === null) return sums
  const { event, count, first, last } = rest
  const various = {
    actor: event.actor.id === null ? NOBODY : event.actor,
    action: event.action,
    outcome: event.outcome,
    app: null,
    environment: null,
    reason: 'denied again and again for various things; counted, not kept one by one',
    facts: { count, first, last, various: true },
  }
  return [...sums, various]
}
