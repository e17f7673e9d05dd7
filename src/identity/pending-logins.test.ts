import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AddressLimit, networkOf } from './address-limit.ts'
import { PendingLogins, type PendingLogin } from './pending-logins.ts'

function login(id: string, from: string, expiresAt = 1000): PendingLogin {
  const way = { kind: 'browser', port: 4000, state: 's' } as const
  const rest = { challenge: '', client: '', code: '', attempt: null, outcome: null, device: null }
  return { id, from, way, expiresAt, ...rest }
}

test('10,000 logins of a crowd push out each other and not that of a single person', () => {
  const pending = new PendingLogins(2000)
  pending.add(login('mine', 'home'), 0)
  for (let n = 0; n < 10_000; n += 1) pending.add(login(`c${n}`, `crowd${n % 5}`), 0)
  assert.equal(pending.size, 2000)
  assert.notEqual(pending.get('mine', 0), null)
  assert.equal(pending.get('c0', 0), null)
  assert.notEqual(pending.get('c9999', 0), null)
})

test('expired logins are gone and make room first', () => {
  const pending = new PendingLogins(2)
  pending.add(login('a', 'x', 10), 0)
  pending.add(login('b', 'x', 100), 0)
  pending.add(login('c', 'x', 100), 10)
  assert.deepEqual(
    ['a', 'b', 'c'].map((id) => pending.get(id, 10)?.id),
    [undefined, 'b', 'c'],
  )
  assert.equal(pending.get('b', 100), null)
})

test('what was ended does not come back', () => {
  const pending = new PendingLogins(2)
  const one = login('a', 'x')
  pending.add(one, 0)
  assert.equal(pending.remove('a'), true)
  assert.equal(pending.remove('a'), false)
  pending.replace(one)
  assert.equal(pending.get('a', 0), null)
})

test('limits count by network', () => {
  assert.equal(networkOf('::ffff:10.0.0.1'), '10.0.0.1')
  assert.equal(networkOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64')
  assert.equal(networkOf('2001:DB8::6'), '2001:db8:0:0::/64')
  assert.equal(networkOf('::1'), '0:0:0:0::/64')
  const limit = new AddressLimit(2, 100)
  assert.deepEqual(
    ['2001:db8::1', '2001:db8::2', '2001:db8::3', '10.0.0.1'].map((from) => limit.admits(from, 0)),
    [true, true, false, true],
  )
  assert.equal(limit.admits('2001:db8::3', 100), true)
})
