import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Notice, NoticeKind } from '../model/notices.ts'
import { noticesMark, noticesText, parseNotices } from './node-notices.ts'
import { planNotices, SCHEDULED_LEAD_MS } from './plan-notices.ts'

const NOW = Date.UTC(2026, 0, 2)
const notice = (kind: NoticeKind, deadline: number | null = null): Notice => ({
  node: 'node1',
  kind,
  at: NOW - 1000,
  deadline,
})
const wantedOf = (
  notices: readonly Notice[],
  { schedulable = true, cordonedFor = '' } = {},
): string => planNotices({ notices, schedulable, cordonedFor }, NOW).wanted

test('a recommendation cordons, a termination drains until its deadline', () => {
  assert.equal(wantedOf([]), 'nothing')
  assert.equal(wantedOf([notice('rebalance')]), 'cordon')
  const both = [notice('rebalance'), notice('terminate', NOW + 120_000)]
  const plan = planNotices({ notices: both, schedulable: true, cordonedFor: '' }, NOW)
  assert.deepEqual(plan, { wanted: 'drain', deadline: NOW + 120_000, againAt: null })
})

test('a scheduled restart waits for its time', () => {
  const deadline = NOW + SCHEDULED_LEAD_MS + 1
  const notices = [notice('scheduled', deadline)]
  const plan = planNotices({ notices, schedulable: true, cordonedFor: '' }, NOW)
  assert.deepEqual(plan, { wanted: 'nothing', deadline: null, againAt: NOW + 1 })
  assert.equal(
    planNotices({ notices, schedulable: true, cordonedFor: '' }, NOW + 1).wanted,
    'drain',
  )
})

test('what was cordoned for notices is opened without them, what a person cordoned is not', () => {
  assert.equal(wantedOf([], { schedulable: false, cordonedFor: 'x' }), 'open')
  assert.equal(wantedOf([], { schedulable: false }), 'nothing')
})

test('a node that was opened by hand stays open until the notices change', () => {
  const notices = [notice('rebalance')]
  const cordonedFor = noticesMark(notices)
  assert.equal(wantedOf(notices, { cordonedFor }), 'nothing')
  assert.equal(wantedOf([...notices, notice('terminate', NOW + 1)], { cordonedFor }), 'drain')
})

test('notices survive the annotation', () => {
  const notices = fc.array(
    fc.record<Notice>(
      {
        node: fc.constant('node1'),
        kind: fc.constantFrom('terminate', 'scheduled', 'rebalance'),
        at: fc.integer({ min: 0, max: 4e12 }),
        deadline: fc.option(fc.integer({ min: 0, max: 4e12 })),
      },
      { noNullPrototype: true },
    ),
    { maxLength: 20 },
  )
  fc.assert(
    fc.property(notices, (all) => {
      assert.deepEqual(parseNotices('node1', noticesText(all) ?? '[]'), all)
    }),
  )
})

test('an annotation that is anything else says nothing', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      for (const { kind } of parseNotices('n', text)) assert.ok(kind.length > 0)
    }),
  )
  for (const text of ['', '{}', '[1,null]', '[{"kind":"reboot","at":"2026-01-01T00:00:00Z"}]'])
    assert.deepEqual(parseNotices('n', text), [])
})
