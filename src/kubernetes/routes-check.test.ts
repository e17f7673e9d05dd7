import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BARE, GATEWAY } from '../../test/fakes/cluster-plan.ts'
import type { Json } from './json-value.ts'
import { routesCheck } from './routes-check.ts'

function route(name: string, status: 'True' | 'False'): Json {
  const parentRef = { namespace: 'gateways', name: 'main' }
  const condition = { type: 'Accepted', status, reason: 'NotAllowed', message: 'no' }
  return {
    metadata: { namespace: 'shop--production', name, generation: 1 },
    spec: { parentRefs: [parentRef], hostnames: ['shop.test'] },
    status: { parents: [{ parentRef, conditions: [{ ...condition, observedGeneration: 1 }] }] },
  }
}

test('a Gateway that carries every route is fine', () => {
  const { status, message } = routesCheck(GATEWAY, [route('web', 'True')])
  assert.equal(status, 'ok')
  assert.match(message, /Gateway gateways\/main \(class any\); canaries split traffic by weight/)
})

test('routes that it does not carry are named with its own words, the first few', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  const routes = [route('fine', 'True'), ...names.map((name) => route(name, 'False'))]
  const { status, message } = routesCheck(GATEWAY, routes)
  assert.equal(status, 'warn')
  assert.match(message, /7 of 8 are not carried: shop--production\/a: the Gateway gateways\/main/)
  assert.match(message, /refuses: NotAllowed: no \(route of shop\.test\)/)
  assert.match(message, /shop--production\/e: [^;]+; 2 more$/)
})

test('a Gateway that no controller has programmed is told', () => {
  const { gateway } = GATEWAY
  assert.ok(gateway)
  const facts = { ...GATEWAY, gateway: { ...gateway, trouble: 'Pending: Waiting for controller' } }
  const { status, message, fix } = routesCheck(facts, [])
  assert.equal(status, 'warn')
  assert.match(message, /gateways\/main .* is not ready: Pending: Waiting for controller/)
  assert.match(fix ?? '', /kubectl describe gateway main -n gateways/)
})

test('without a Gateway routes become Ingresses, or nothing carries them', () => {
  assert.equal(routesCheck({ ...BARE, ingressClass: 'nginx' }, []).status, 'ok')
  assert.equal(routesCheck({ ...BARE, ingressClass: null }, []).status, 'warn')
})
