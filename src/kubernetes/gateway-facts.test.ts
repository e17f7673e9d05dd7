import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gatewayOf } from './gateway-facts.ts'
import type { Json } from './json-value.ts'

const LISTENER = { protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'All' } } }

function gateway(name: string, conditions: Json = {}, listener: Json = LISTENER): Json {
  const said = Object.entries(conditions).map(([type, status]) => {
    const [reason, message] = status === 'Unknown' ? ['Pending', 'Waiting for controller'] : [type]
    return { type, status, reason, message }
  })
  return {
    metadata: { namespace: 'gateways', name },
    spec: { gatewayClassName: 'any', listeners: [listener] },
    status: { conditions: said },
  }
}

const UP = { Accepted: 'True', Programmed: 'True' }
const NOBODYS = { Accepted: 'Unknown', Programmed: 'Unknown' }

test('the first Gateway by name that a controller has accepted, else the first', () => {
  assert.equal(gatewayOf([]), null)
  assert.equal(gatewayOf([gateway('c', UP), gateway('b', UP)])?.name, 'b')
  assert.equal(gatewayOf([gateway('a', NOBODYS), gateway('b', UP)])?.name, 'b')
  assert.equal(gatewayOf([gateway('b', NOBODYS), gateway('a', NOBODYS)])?.name, 'a')
})

test('one that does not take routes for HTTP from all namespaces is none', () => {
  const own = { protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'Same' } } }
  assert.equal(gatewayOf([gateway('a', UP, own)]), null)
  assert.equal(gatewayOf([gateway('a', UP, { ...LISTENER, protocol: 'TCP' })]), null)
  assert.equal(gatewayOf([gateway('a', UP, { ...LISTENER, protocol: 'HTTPS' })])?.name, 'a')
})

test('what its controller says against it, or that there is none, is known', () => {
  assert.equal(gatewayOf([gateway('a', UP)])?.trouble, null)
  assert.equal(gatewayOf([gateway('a', NOBODYS)])?.trouble, 'Pending: Waiting for controller')
  assert.equal(gatewayOf([gateway('a')])?.trouble, 'no controller says Accepted')
  const unplaced = { Accepted: 'True', Programmed: 'False' }
  assert.match(gatewayOf([gateway('a', unplaced)])?.trouble ?? '', /^Programmed: /)
})
