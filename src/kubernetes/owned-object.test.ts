import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Json } from './json-value.ts'
import { ownedObject, wasApplied } from './owned-object.ts'

function live(entries: readonly Json[]): Json {
  return { metadata: { name: 'web', namespace: 'n', managedFields: entries } }
}
const ours = (fields: Json, time = '2026-01-01T00:00:10Z'): Json => ({
  manager: 'fairway',
  operation: 'Apply',
  time,
  fieldsV1: fields,
})
const spec = { 'f:spec': { 'f:replicas': {}, 'f:paused': {} } }

test('a field that somebody took from us is seen, a status is not', () => {
  const status = (time: string): Json => ({
    manager: 'kube-controller-manager',
    operation: 'Update',
    subresource: 'status',
    time,
    fieldsV1: { 'f:status': {} },
  })
  const before = ownedObject(live([ours(spec), status('2026-01-01T00:00:11Z')]))
  const later = ownedObject(live([ours(spec), status('2026-01-01T09:00:00Z')]))
  assert.equal(later.owned, before.owned)
  assert.equal(later.touched, false)
  const hand = { manager: 'kubectl-edit', operation: 'Update', time: '2026-01-01T00:00:10Z' }
  const taken = ownedObject(live([ours({ 'f:spec': { 'f:paused': {} } }), hand]))
  assert.notEqual(taken.owned, before.owned)
  assert.equal(taken.touched, true)
  const scaled = { ...hand, subresource: 'scale', time: '2026-01-01T00:00:12Z' }
  assert.equal(ownedObject(live([ours(spec), scaled])).touched, true)
})

test('what was written before our last write says nothing of it', () => {
  const old = { manager: 'kubectl-edit', operation: 'Update', time: '2026-01-01T00:00:09Z' }
  assert.equal(ownedObject(live([old, ours(spec)])).touched, false)
})

test('an object that we never applied is not ours', () => {
  assert.equal(wasApplied(live([{ manager: 'fairway', operation: 'Update' }])), false)
  assert.equal(ownedObject(live([])).owned, '')
  assert.ok(wasApplied(live([ours(spec)])))
})
