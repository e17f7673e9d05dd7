import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isDeepStrictEqual } from 'node:util'
import {
  appOf,
  GATEWAY,
  settingsWith,
  trackOf,
  WEB,
  workloadOf,
} from '../../test/fakes/cluster-plan.ts'
import { toYaml } from './object.ts'
import { planApp } from './plan-app.ts'
import { assignSlots, type ObservedSlots } from './slots.ts'

const stable = (release: number) => trackOf({ release })
const candidate = (release: number) => trackOf({ name: 'candidate', release })

function slots(tracks: Parameters<typeof assignSlots>[0], observed: ObservedSlots): string {
  return assignSlots(tracks, observed)
    .map(({ slot, track }) => `${track.name} ${String(track.release)} in ${slot}`)
    .join(', ')
}

const slot = fc.option(fc.record({ release: fc.nat(3), ready: fc.nat(3) }), { nil: undefined })
const observedSlots = fc.record({ a: slot, b: slot }).map(({ a, b }): ObservedSlots => ({
  ...(a === undefined ? {} : { a }),
  ...(b === undefined ? {} : { b }),
}))
const tracks = fc
  .uniqueArray(fc.nat(3), { minLength: 1, maxLength: 2 })
  .map(([first = 0, second]) =>
    second === undefined ? [stable(first)] : [stable(first), candidate(second)],
  )

test('a first release is in a; a rolling update stays where its process is', () => {
  assert.equal(slots([stable(1)], {}), 'stable 1 in a')
  assert.equal(slots([stable(2)], { a: { release: 1, ready: 3 } }), 'stable 2 in a')
  assert.equal(slots([stable(3)], { b: { release: 2, ready: 3 } }), 'stable 3 in b')
})

test('a candidate takes the other slot and keeps it as stable', () => {
  const a1 = { a: { release: 1, ready: 3 } }
  assert.equal(slots([stable(1), candidate(2)], a1), 'stable 1 in a, candidate 2 in b')
  const both = { ...a1, b: { release: 2, ready: 3 } }
  assert.equal(slots([stable(2)], both), 'stable 2 in b')
  assert.equal(slots([candidate(2), stable(1)], both), 'stable 1 in a, candidate 2 in b')
  assert.equal(slots([stable(1)], both), 'stable 1 in a')
})

test('a new release rolls into the fuller slot', () => {
  const both = { a: { release: 1, ready: 0 }, b: { release: 2, ready: 3 } }
  assert.equal(slots([stable(3)], both), 'stable 3 in b')
  assert.equal(slots([stable(2), candidate(3)], both), 'stable 2 in b, candidate 3 in a')
})

test('every track has a slot of its own, a running release its own one, and asking again changes nothing', () => {
  fc.assert(
    fc.property(tracks, observedSlots, (wanted, observed) => {
      const assigned = assignSlots(wanted, observed)
      assert.equal(assigned.length, wanted.length)
      assert.equal(new Set(assigned.map((one) => one.slot)).size, wanted.length)
      const now: ObservedSlots = Object.fromEntries(
        assigned.map((one) => [one.slot, { release: one.track.release, ready: 1 }]),
      )
      assert.deepEqual(assignSlots(wanted, now), assigned)
    }),
  )
})

// Whoever keeps a plan asks no more than this of the slots.
test('a plan takes of the slots only which track is where', () => {
  const strategy = fc.constantFrom('rolling', 'canary', 'bluegreen', 'recreate')
  fc.assert(
    fc.property(
      tracks,
      strategy,
      fc.boolean(),
      observedSlots,
      observedSlots,
      (wanted, how, routed, before, now) => {
        fc.pre(isDeepStrictEqual(assignSlots(wanted, before), assignSlots(wanted, now)))
        const desired = appOf(workloadOf({ strategy: how }, wanted))
        const plan = (observed: ObservedSlots): string => {
          const slots = new Map([[WEB, observed]])
          return toYaml(
            planApp(desired, settingsWith(routed ? { slots, facts: GATEWAY } : { slots })),
          )
        }
        assert.equal(plan(now), plan(before))
      },
    ),
    { numRuns: 50 },
  )
})
