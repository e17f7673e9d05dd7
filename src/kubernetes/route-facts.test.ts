import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Json } from './json-value.ts'
import { routeFacts, routeState, type RouteState } from './route-facts.ts'

interface Said {
  readonly type: string
  readonly status: string
  readonly observedGeneration?: number
  readonly reason?: string
  readonly message?: string
}

const OURS = { kind: 'Gateway', namespace: 'gateways', name: 'main' }
const NEW = { holds: true, failing: false, trouble: null }
const FINE = { holds: false, failing: false, trouble: null }

function route(
  generation: number,
  ...parents: readonly (readonly [Json, readonly Said[]])[]
): Json {
  return {
    metadata: { name: 'web', namespace: 'shop--production', generation },
    spec: { parentRefs: [OURS], hostnames: ['shop.test'] },
    status: { parents: parents.map(([parentRef, conditions]) => ({ parentRef, conditions })) },
  }
}

function said(type: string, observedGeneration: number, against = ''): Said {
  if (against === '') return { type, status: 'True', observedGeneration }
  return { type, status: 'False', observedGeneration, reason: against, message: 'no' }
}

function stateOf(object: Json, waitedMs = 0): RouteState {
  return routeState(routeFacts(object, 1000), 1000 + waitedMs)
}

test('a route that its Gateway has taken as it is now holds nothing up', () => {
  const taken = route(3, [OURS, [said('ResolvedRefs', 3), said('Accepted', 3)]])
  assert.deepEqual(stateOf(taken), FINE)
  assert.deepEqual(stateOf(taken, 600_000), FINE)
  const silent = route(3, [OURS, [{ type: 'Accepted', status: 'True' }]])
  assert.deepEqual(stateOf(silent), FINE)
})

test('one that it has only seen as it was is waited for, and fails after a minute', () => {
  const behind = route(3, [OURS, [said('ResolvedRefs', 2), said('Accepted', 2)]])
  assert.deepEqual(stateOf(behind), NEW)
  assert.deepEqual(stateOf(behind, 59_999), NEW)
  const { holds, failing, trouble } = stateOf(behind, 60_000)
  assert.deepEqual([holds, failing], [true, true])
  assert.match(trouble ?? '', /Gateway gateways\/main has not followed .*route of shop\.test/)
})

test('one that no controller has ever answered for is waited for only a little', () => {
  const pending = { type: 'Accepted', status: 'Unknown', observedGeneration: 1 }
  const others = route(1, [{ ...OURS, namespace: 'theirs' }, [said('Accepted', 1)]])
  for (const unseen of [route(1), route(1, [OURS, [pending]]), others]) {
    assert.deepEqual(stateOf(unseen, 14_999), NEW)
    const { holds, failing, trouble } = stateOf(unseen, 15_000)
    assert.deepEqual([holds, failing], [false, false])
    assert.match(trouble ?? '', /Gateway gateways\/main says nothing/)
  }
})

test('one that it refuses carries nothing: nobody waits for it, and its words are told', () => {
  const refused = route(1, [OURS, [said('Accepted', 1, 'NoMatchingListenerHostname')]])
  const { holds, failing, trouble } = stateOf(refused)
  assert.deepEqual([holds, failing], [false, false])
  assert.match(trouble ?? '', /refuses: NoMatchingListenerHostname: no \(route of shop\.test\)/)
})

test('one whose Services it does not see yet is waited for, and fails with its words', () => {
  const lost = route(2, [OURS, [said('Accepted', 2), said('ResolvedRefs', 2, 'BackendNotFound')]])
  assert.deepEqual(stateOf(lost), NEW)
  const { holds, failing, trouble } = stateOf(lost, 60_000)
  assert.deepEqual([holds, failing], [true, true])
  assert.match(trouble ?? '', /cannot follow: BackendNotFound: no/)
})

test('of two controllers the one that has seen the route as it is now counts', () => {
  const both = route(2, [OURS, [said('Accepted', 1)]], [OURS, [said('Accepted', 2)]])
  assert.deepEqual(stateOf(both), FINE)
})
