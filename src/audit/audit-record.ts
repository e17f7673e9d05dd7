import { chainLink } from '../lib/hash-chain.ts'
import type { AuditEvent, AuditFacts, AuditRow } from '../model/audit.ts'

const NAME = 200
const LONG = 300
const MOST_FACTS = 24
const MOST_ITEMS = 64

/** Where a record is appended: the last one before it. */
export interface Place {
  readonly seq: number
  readonly hash: string
  readonly time: number
}

/** The event as the record that follows `before`, and the place that it is itself. Times never run backwards along the chain. */
export function recordAfter(
  before: Place,
  event: AuditEvent,
  time: number,
): { readonly row: AuditRow; readonly place: Place } {
  const at = { seq: before.seq + 1, time: Math.max(before.time, Math.round(time)) }
  const { actor, action, outcome } = event
  const app = cut(event.app, NAME)
  const environment = cut(event.environment, NAME)
  const name = cut(actor.name, NAME) ?? ''
  const id = cut(actor.id, NAME)
  const fields = {
    v: 1,
    ...at,
    actor: { kind: actor.kind, id, name },
    action,
    app,
    environment,
    target: cut(event.target, NAME),
    outcome,
    reason: cut(event.reason, LONG),
    facts: cutFacts(event.facts ?? {}),
    from: cut(event.from, NAME),
    agent: cut(event.agent, NAME),
    request: cut(event.request, NAME),
  }
  const { line, hash } = chainLink(fields, before.hash)
  const row = { ...at, actorId: id, actor: name, action, app, environment, outcome, line }
  return { row, place: { ...at, hash } }
}

function cutFacts(facts: AuditFacts): AuditFacts {
  return Object.fromEntries(
    Object.entries(facts)
      .slice(0, MOST_FACTS)
      .map(([key, value]) => [cut(key, NAME) ?? '', cutFact(value)]),
  )
}

function cutFact(value: AuditFacts[string]): AuditFacts[string] {
  if (typeof value === 'string') return cut(value, LONG)
  if (typeof value !== 'object' || value === null) return value
  const shown = value.slice(0, MOST_ITEMS).map((item) => cut(item, NAME) ?? '')
  const more = value.length - shown.length
  return more > 0 ? [...shown, `and ${String(more)} more`] : shown
}

/** Half of a surrogate pair would be written as an escape that not every JSON reader takes back. */
function cut(text: string | null | undefined, most: number): string | null {
  if (text === null || text === undefined) return null
  const short = text.length > most ? `${text.slice(0, most)}…` : text
  return short.toWellFormed().replaceAll('\0', '\uFFFD')
}
