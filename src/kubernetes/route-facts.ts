import { listAt, named, numberAt, textAt, type Json } from './json-value.ts'
import { ownedObject, type OwnedObject } from './owned-object.ts'

/** What the engine remembers of an HTTPRoute, and what its Gateway says of it. */
export interface RouteFacts extends OwnedObject {
  readonly hosts: readonly string[]
  /** `namespace/name`. */
  readonly gateway: string
  /** Whether the Gateway has seen the route as it is now, only as it was before, or never. */
  readonly seen: 'now' | 'before' | 'never'
  /** Whether the Gateway carries the route; null = it has not said. */
  readonly accepted: boolean | null
  /** What the Gateway says against it; '' = nothing. */
  readonly refusal: string
  /** When we heard of it as it is, by our clock. */
  readonly heardAt: number
}

/** What follows from a route for whoever waits for it. */
export interface RouteState {
  /** Requests may still go where they went before the last change. */
  readonly holds: boolean
  /** Waiting on will not help, as far as one can tell. */
  readonly failing: boolean
  /** For people; null = all is well, or will be in a moment. */
  readonly trouble: string | null
}

/** A Gateway that has taken a route once follows each change of it within a second; a restart of its controller takes longer. */
const FOLLOW_MS = 60_000
/** Where nothing says that it has taken a new route, nothing may ever: there may be no controller. */
const FIRST_MS = 15_000

/** @param heardAt by our clock */
export function routeFacts(object: Json, heardAt: number): RouteFacts {
  const [parent] = listAt(object, 'spec', 'parentRefs')
  const namespace = textAt(parent, 'namespace')
  const name = textAt(parent, 'name')
  const said = listAt(object, 'status', 'parents').filter(
    (one) =>
      textAt(one, 'parentRef', 'name') === name &&
      textAt(one, 'parentRef', 'namespace') === namespace,
  )
  const verdicts = said.map((one) => verdictOf(listAt(one, 'conditions'), object))
  const current = verdicts.find(({ seen }) => seen === 'now')
  const verdict = current ?? verdicts.find(({ seen }) => seen === 'before') ?? UNSEEN
  return {
    ...ownedObject(object),
    hosts: listAt(object, 'spec', 'hostnames').map(String),
    gateway: `${namespace}/${name}`,
    heardAt,
    ...verdict,
  }
}

/** Pure: a route that its Gateway does not carry at all sends nobody anywhere, so nothing waits for it. */
export function routeState(route: RouteFacts, now: number): RouteState {
  const waited = now - route.heardAt
  const about = (text: string): string =>
    `the Gateway ${route.gateway} ${text} (route of ${route.hosts.join(', ')})`
  if (route.seen === 'never') {
    const isOver = waited >= FIRST_MS
    return { holds: !isOver, failing: false, trouble: isOver ? about(SILENT) : null }
  }
  if (route.seen === 'now' && route.accepted === false)
    return { holds: false, failing: false, trouble: about(`refuses: ${route.refusal}`) }
  if (route.seen === 'now' && route.refusal === '') return FINE
  const failing = waited >= FOLLOW_MS
  const why = route.seen === 'now' ? `cannot follow: ${route.refusal}` : STUCK
  return { holds: true, failing, trouble: failing ? about(why) : null }
}

// Private

type Verdict = Pick<RouteFacts, 'seen' | 'accepted' | 'refusal'>

const UNSEEN: Verdict = { seen: 'never', accepted: null, refusal: '' }
const FINE: RouteState = { holds: false, failing: false, trouble: null }
const SILENT = 'says nothing: is its controller running?'
const STUCK = 'has not followed the last change: requests go where they went before'

function verdictOf(conditions: readonly unknown[], object: Json): Verdict {
  const accepted = named(conditions, 'type', 'Accepted')
  const status = textAt(accepted, 'status')
  if (status !== 'True' && status !== 'False') return UNSEEN
  const generation = numberAt(object, 'metadata', 'generation') ?? 0
  // Who does not say which generation it speaks of is taken to mean the last one.
  const observed = numberAt(accepted, 'observedGeneration') ?? generation
  const refused = [accepted, named(conditions, 'type', 'ResolvedRefs')].find(
    (condition) => textAt(condition, 'status') === 'False',
  )
  return {
    seen: observed >= generation ? 'now' : 'before',
    accepted: status === 'True',
    refusal:
      refused === undefined ? '' : `${textAt(refused, 'reason')}: ${textAt(refused, 'message')}`,
  }
}
