import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { emailIn, groupsIn, nameIn } from './claims.ts'

test('groups stand where providers write them', () => {
  const keycloak = { groups: ['/ops', '/org/team-a'], realm_access: { roles: ['dev', 'dev'] } }
  assert.deepEqual(groupsIn(keycloak, 'groups'), ['ops', 'org/team-a'])
  assert.deepEqual(groupsIn(keycloak, 'realm_access.roles'), ['dev'])
  assert.deepEqual(groupsIn({ 'https://a.example/groups': 'ops' }, 'https://a.example/groups'), [
    'ops',
  ])
  assert.equal(groupsIn(keycloak, 'resource_access.fairway.roles'), null)
  assert.equal(groupsIn({}, 'constructor.name'), null)
  assert.deepEqual(
    groupsIn({ groups: [1, null, '', '/', 'a\u202eb', 'x'.repeat(257)] }, 'groups'),
    [],
  )
})

test('whatever a provider sends, groups are few, short and printable', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.anything()), fc.string(), (claims, path) => {
      const groups = groupsIn(claims, path) ?? []
      assert.ok(groups.length <= 1000)
      for (const group of groups) assert.ok(group !== '' && group.length <= 256)
      assert.equal(typeof nameIn(claims, path, 'sub'), 'string')
    }),
  )
})

test('a name that could be taken for another one is none', () => {
  assert.equal(nameIn({ preferred_username: 'ada' }, 'preferred_username', 's'), 'ada')
  for (const name of ['', ' ', 'a\u200bb', '\u202eada', 'a\nb', 7, null, 'x'.repeat(101)]) {
    assert.equal(nameIn({ preferred_username: name }, 'preferred_username', 's'), 's')
  }
  assert.equal(nameIn({ email: 'a@b.c', email_verified: false }, 'email', 's'), 's')
  assert.equal(nameIn({ email: 'a@b.c' }, 'email', 's'), 'a@b.c')
  assert.equal(emailIn({ email: 'a b@c' }), null)
})
