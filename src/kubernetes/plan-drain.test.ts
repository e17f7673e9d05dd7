import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { planDrain, selects, type Budget, type DrainPod } from './plan-drain.ts'

const ASKED = { localData: false, vanishing: false }
const POD: DrainPod = {
  namespace: 'shop--production',
  name: 'web-1',
  uid: '1',
  labels: { app: 'web' },
  ours: 'shop/production web',
  kind: 'service',
  controller: 'ReplicaSet',
  mirror: false,
  ended: false,
  deleting: false,
  scratch: ['tmp'],
  localDisk: null,
  graceSeconds: 30,
}
const BUDGET: Budget = {
  namespace: POD.namespace,
  name: 'web',
  selector: { matchLabels: { app: 'web' } },
  allowed: 1,
  expected: 2,
  needed: 1,
}

const pod = fc.record<DrainPod>({
  namespace: fc.constantFrom('a', 'b'),
  name: fc.string({ minLength: 1, maxLength: 3 }),
  uid: fc.uuid(),
  labels: fc.dictionary(fc.constantFrom('app', 'tier'), fc.constantFrom('web', 'db')),
  ours: fc.constantFrom(null, 'shop/production web'),
  kind: fc.constantFrom('service', 'job', 'cron', ''),
  controller: fc.constantFrom('', 'ReplicaSet', 'DaemonSet', 'Job'),
  mirror: fc.boolean(),
  ended: fc.boolean(),
  deleting: fc.boolean(),
  scratch: fc.constantFrom([], ['cache']),
  localDisk: fc.constantFrom(null, 'data'),
  graceSeconds: fc.nat(300),
})
const budget = fc.record<Budget>({
  namespace: fc.constantFrom('a', 'b'),
  name: fc.constantFrom('one', 'two'),
  selector: fc.constantFrom({}, { matchLabels: { app: 'web' } }),
  allowed: fc.nat(2),
  expected: fc.nat(3),
  needed: fc.nat(3),
})
const scope = fc.record({ localData: fc.boolean(), vanishing: fc.boolean() })

test('every pod that has not ended has one fate, in an order that does not depend on theirs', () => {
  fc.assert(
    fc.property(fc.array(pod), fc.array(budget), scope, (pods, budgets, how) => {
      const plan = planDrain('n', pods, budgets, how)
      const fates = [...plan.evict, ...plan.wait, ...plan.skip, ...plan.refuse]
      const uids = fates.map((fate) => fate.pod.uid).sort()
      const live = pods.filter(({ ended }) => !ended)
      assert.deepEqual(uids, live.map(({ uid }) => uid).sort())
      for (const fate of fates) assert.notEqual(fate.text, '')
    }),
  )
})

test('nothing is evicted that a person asking for a plain drain would lose', () => {
  fc.assert(
    fc.property(fc.array(pod), fc.array(budget), (pods, budgets) => {
      for (const { pod: one } of planDrain('n', pods, budgets, ASKED).evict) {
        assert.ok(!one.mirror && !one.deleting)
        assert.ok(one.controller !== '' && one.controller !== 'DaemonSet')
        assert.equal(one.localDisk, null)
        if (one.ours === null) assert.deepEqual(one.scratch, [])
        else assert.ok(one.kind !== 'job' && one.kind !== 'cron')
      }
    }),
  )
})

test('from a node that goes away all copies of ours go, or are on their way', () => {
  fc.assert(
    fc.property(fc.array(pod), fc.array(budget), (pods, budgets) => {
      const plan = planDrain('n', pods, budgets, { localData: true, vanishing: true })
      assert.deepEqual(
        plan.refuse.filter((refused) => refused.pod.ours !== null),
        [],
      )
    }),
  )
})

const fateOf = (change: Partial<DrainPod>, budgets: readonly Budget[] = [BUDGET]): string => {
  const { evict, wait, skip, refuse } = planDrain('node1', [{ ...POD, ...change }], budgets, ASKED)
  const found = Object.entries({ evict, wait, skip, refuse }).find(([, pods]) => pods.length > 0)
  return `${found?.[0] ?? ''}: ${found?.[1][0]?.text ?? ''}`
}

test('fates and their words', () => {
  assert.equal(fateOf({}), 'evict: shop/production web moves')
  assert.match(fateOf({}, []), /^evict: .* without a budget: a single copy is away until/)
  assert.equal(fateOf({ controller: 'DaemonSet' }), 'skip: belongs to a DaemonSet')
  assert.equal(fateOf({ mirror: true }), 'skip: belongs to the node itself')
  assert.equal(fateOf({ deleting: true }), 'wait: is stopping')
  assert.match(fateOf({ kind: 'job' }), /^wait: shop\/production web is a run/)
  assert.match(fateOf({ controller: '' }), /^refuse: nothing would start it again/)
  assert.match(fateOf({ localDisk: 'data' }), /^refuse: its disk data is a part of node1/)
  assert.match(fateOf({ ours: null }), /^refuse: keeps data on the node \(tmp\)/)
  assert.match(fateOf({}, [BUDGET, { ...BUDGET, name: 'x' }]), /^refuse: has 2 .* \(web, x\)/)
})

test('a budget that lets none go is named, and whether it ever will', () => {
  const held = (change: Partial<Budget>): string | null =>
    planDrain('n', [POD], [{ ...BUDGET, ...change }], ASKED).evict[0]?.held ?? null
  assert.equal(held({}), null)
  assert.match(held({ allowed: 0 }) ?? '', /the budget web lets no other pod go now/)
  assert.match(
    held({ allowed: 0, needed: 2 }) ?? '',
    /the budget web lets none of its 2 pods go, ever/,
  )
  assert.equal(held({ allowed: 0, namespace: 'other' }), null)
})

test('label selectors', () => {
  const rule = (operator: string, ...values: string[]) => ({
    matchExpressions: [{ key: 'app', operator, values }],
  })
  assert.ok(selects({}, { app: 'web' }))
  assert.ok(selects(rule('In', 'web', 'db'), { app: 'web' }))
  assert.ok(!selects(rule('In', 'db'), {}))
  assert.ok(selects(rule('NotIn', 'db'), {}))
  assert.ok(!selects(rule('NotIn', 'web'), { app: 'web' }))
  assert.ok(selects(rule('Exists'), { app: '' }))
  assert.ok(selects(rule('DoesNotExist'), {}))
  assert.ok(!selects(rule('Unheard'), { app: 'web' }))
})
