import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import {
  ACTIONS,
  EVERYTHING,
  grantOf,
  ROLES,
  type Action,
  type Grant,
  type Subject,
} from '../model/identity.ts'
import { includes, mayGive } from './authority.ts'
import { decide, placesOf, roleIn, rulesOf } from './decide.ts'

const rules = rulesOf(
  new Map([
    ['pay', new Set(['shop', 'till'])],
    ['ops', new Set(['till'])],
    ['empty', new Set<string>()],
  ]),
  new Set(['production']),
)

function subject(...grants: readonly Grant[]): Subject {
  return { id: 'x', name: 'x', kind: 'user', groups: [], grants }
}

function may(grant: Partial<Grant>, action: Action, app: string | null, env: string | null) {
  return decide(rules, subject({ ...grantOf('developer'), ...grant }), action, { app }, env)
}

test('what it does not know is denied', () => {
  const admin = subject(EVERYTHING)
  assert.equal(decide(rules, null, 'self:read', { app: null }, null).allowed, false)
  for (const made of ['app:everything', 'constructor', '__proto__', '', 'APP:READ']) {
    const action = z.custom<Action>().parse(made)
    assert.equal(decide(rules, admin, action, { app: null }, null).allowed, false, made)
  }
  for (const made of ['root', 'ADMIN', 'constructor', '__proto__', '']) {
    const role = z.custom<Grant['role']>().parse(made)
    const other = subject({ ...EVERYTHING, role })
    assert.equal(decide(rules, other, 'app:read', { app: 'shop' }, 'x').allowed, false, made)
    assert.equal(roleIn(rules, other, { app: 'shop' }, 'x'), null)
  }
})

test('without grants nobody does anything but ask who they are', () => {
  for (const action of ACTIONS) {
    for (const app of [null, 'shop']) {
      const decision = decide(rules, subject(), action, { app }, app === null ? null : 'staging')
      assert.equal(decision.allowed, action === 'self:read', action)
    }
  }
})

test('a grant reaches its app, environment and team, and nothing beside', () => {
  const cases: readonly [Partial<Grant>, string, string | null, boolean][] = [
    [{ app: 'shop' }, 'shop', 'staging', true],
    [{ app: 'shop' }, 'shop', null, true],
    [{ app: 'shop' }, 'till', 'staging', false],
    [{ app: 'shop' }, 'Shop', 'staging', false],
    [{ app: 'shop' }, 'shop ', 'staging', false],
    [{ app: 'shop' }, 's%', 'staging', false],
    [{ app: 's%' }, 'shop', 'staging', false],
    [{ app: '*' }, 'shop', 'staging', false],
    [{ app: '' }, 'shop', 'staging', false],
    [{ environment: 'staging' }, 'shop', 'staging', true],
    [{ environment: 'staging' }, 'shop', 'staging2', false],
    [{ environment: 'staging' }, 'shop', null, false],
    [{ team: 'pay' }, 'shop', 'staging', true],
    [{ team: 'ops' }, 'shop', 'staging', false],
    [{ team: 'ops' }, 'till', 'staging', true],
    [{ team: 'empty' }, 'shop', 'staging', false],
    [{ team: 'gone' }, 'shop', 'staging', false],
    [{ team: 'pay', app: 'other' }, 'other', 'staging', false],
    [{ team: 'pay', app: 'shop', environment: 'staging' }, 'shop', 'staging', true],
    [{ team: 'pay', app: 'shop', environment: 'staging' }, 'shop', 'production', false],
    [{ actions: ['app:deploy'] }, 'shop', 'staging', true],
    [{ actions: ['app:plan', 'app:rollback'] }, 'shop', 'staging', false],
    [{ actions: [] }, 'shop', 'staging', false],
    [{ role: 'viewer' }, 'shop', 'staging', false],
    [{ role: 'viewer', actions: ['app:deploy'] }, 'shop', 'staging', false],
  ]
  for (const [grant, app, environment, allowed] of cases) {
    const text = JSON.stringify([grant, app, environment])
    assert.equal(may(grant, 'app:deploy', app, environment).allowed, allowed, text)
  }
})

test('a part is not the whole: the platform is for grants over everything', () => {
  for (const part of [{ app: 'shop' }, { environment: 'staging' }, { team: 'pay' }]) {
    for (const action of [
      'target:write',
      'node:drain',
      'platform:collect',
      'team:write',
    ] as const) {
      assert.equal(may({ ...part, role: 'admin' }, action, null, null).allowed, false, action)
    }
    assert.equal(may(part, 'app:list', null, null).allowed, true)
    assert.equal(may(part, 'source:write', null, null).allowed, true)
  }
  assert.equal(may({ role: 'admin' }, 'platform:collect', null, null).allowed, true)
  const admin = { role: 'admin', environment: 'staging' } as const
  assert.equal(may(admin, 'environment:protect', null, 'staging').allowed, true)
  assert.equal(may(admin, 'environment:protect', null, 'production').allowed, false)
})

test('an app that no grant reaches is hidden, another only refused', () => {
  const hidden = may({ app: 'shop' }, 'app:read', 'till', 'staging')
  assert.deepEqual([hidden.allowed, !hidden.allowed && hidden.hidden], [false, true])
  const refused = may({ app: 'shop', role: 'viewer' }, 'app:deploy', 'shop', 'staging')
  assert.deepEqual([refused.allowed, !refused.allowed && refused.hidden], [false, false])
  const limited = may({ app: 'shop', actions: ['app:deploy'] }, 'app:read', 'shop', 'staging')
  assert.deepEqual([limited.allowed, !limited.allowed && limited.hidden], [false, false])
})

test('in a protected environment what goes past a rollout is for operators', () => {
  for (const action of ['app:exec', 'app:run', 'app:scale', 'app:destroy'] as const) {
    assert.equal(may({}, action, 'shop', 'staging').allowed, true, action)
    assert.equal(may({}, action, 'shop', 'production').allowed, false, action)
    assert.equal(may({ role: 'operator' }, action, 'shop', 'production').allowed, true, action)
  }
  assert.equal(may({}, 'app:deploy', 'shop', 'production').allowed, true)
  assert.equal(may({}, 'rollout:approve', 'shop', 'staging').allowed, false)
})

test('the role in a place is the highest that is not limited to actions', () => {
  const some = subject(
    { ...grantOf('viewer') },
    { ...grantOf('operator'), team: 'pay', environment: 'staging' },
    { ...grantOf('admin'), app: 'shop', actions: ['app:read'] },
  )
  assert.equal(roleIn(rules, some, { app: 'shop' }, 'staging'), 'operator')
  assert.equal(roleIn(rules, some, { app: 'shop' }, 'production'), 'viewer')
  assert.equal(roleIn(rules, subject(), { app: 'shop' }, 'staging'), null)
})

const APPS = ['shop', 'till', 'other', null] as const
const ENVIRONMENTS = ['production', 'staging', null] as const
const someGrant: fc.Arbitrary<Grant> = fc.record({
  role: fc.constantFrom(...ROLES),
  environment: fc.constantFrom(...ENVIRONMENTS),
  team: fc.constantFrom('pay', 'ops', 'gone', null),
  app: fc.constantFrom(...APPS),
  actions: fc.oneof(fc.constant(null), fc.subarray([...ACTIONS])),
})
const someQuestion = fc.record({
  action: fc.constantFrom(...ACTIONS),
  app: fc.constantFrom(...APPS),
  environment: fc.constantFrom(...ENVIRONMENTS),
})

test('fewer grants never allow more, and never show more', () => {
  fc.assert(
    fc.property(
      fc.array(someGrant, { maxLength: 6 }),
      fc.nat(),
      someQuestion,
      (grants, index, { action, app, environment }) => {
        const fewer = grants.filter((_, n) => n !== index % Math.max(1, grants.length))
        const all = decide(rules, subject(...grants), action, { app }, environment)
        const less = decide(rules, subject(...fewer), action, { app }, environment)
        if (less.allowed) assert.equal(all.allowed, true)
        if (!all.allowed && !less.allowed && all.hidden) assert.equal(less.hidden, true)
      },
    ),
    { numRuns: 5000 },
  )
})

test('the places where somebody may do something are those where a decision says so', () => {
  fc.assert(
    fc.property(
      fc.array(someGrant, { maxLength: 6 }),
      fc.constantFrom('shop', 'till', 'other'),
      fc.constantFrom(...ENVIRONMENTS),
      (grants, app, environment) => {
        const who = subject(...grants)
        const places = placesOf(rules, who, 'audit:read')
        const inside = places.some(
          (place) =>
            (place.apps === null || place.apps.includes(app)) &&
            (place.environment === null || place.environment === environment),
        )
        const decision = decide(rules, who, 'audit:read', { app }, environment)
        assert.equal(inside, decision.allowed)
      },
    ),
  )
})

test('a grant that another includes allows nothing that the other does not', () => {
  let included = 0
  fc.assert(
    fc.property(someGrant, someGrant, someQuestion, (own, other, { action, app, environment }) => {
      if (!includes(rules, own, other)) return
      included += 1
      if (!decide(rules, subject(other), action, { app }, environment).allowed) return
      assert.equal(decide(rules, subject(own), action, { app }, environment).allowed, true)
    }),
    { numRuns: 20_000 },
  )
  assert.ok(included > 200, String(included))
})

test('only who makes tokens gives, and never more than they have', () => {
  const given = { ...grantOf('developer'), app: 'shop', environment: 'staging' }
  const has = (grant: Partial<Grant>): boolean =>
    mayGive(rules, subject({ ...EVERYTHING, ...grant }), given, 'token:write')
  assert.equal(has({}), true)
  assert.equal(has({ team: 'pay' }), true)
  assert.equal(has({ environment: 'staging', app: 'shop' }), true)
  assert.equal(has({ team: 'ops' }), false)
  assert.equal(has({ environment: 'production' }), false)
  assert.equal(has({ app: 'till' }), false)
  assert.equal(has({ role: 'operator' }), false)
  assert.equal(has({ actions: ['token:write', 'app:deploy'] }), false)
})
