/** What every implementation of the `Lease` port must do; each runs it from a test of its own. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '../src/lib/clock.ts'
import { minimalEnv, start } from '../src/lib/process.ts'
import type { Clock } from '../src/model/clock.ts'
import type { Lease, LeaseHold } from '../src/model/lease.ts'

export interface LeaseUnderTest {
  /** One more party that wants the same lease; closed by who opened it all. */
  readonly contender: (clock: Clock) => Promise<Lease>
  /** TypeScript that imports what it needs by absolute address and ends with `const lease = …`: the same lease in another process. */
  readonly program: string
  /** An empty folder. */
  readonly folder: string
}

/** Milliseconds that are short for a test and long for a machine that does much else. */
const TTL = 3000
const LONG = 60_000

export function testLease(name: string, open: () => Promise<LeaseUnderTest>): void {
  test(`${name}: of many who ask at once exactly one gets it`, async () => {
    const { contender } = await open()
    const parties = await Promise.all([1, 2, 3].map(() => contender(systemClock)))
    for (let round = 1; round <= 5; round++) {
      const holds = await Promise.all(
        parties.flatMap((lease, i) =>
          ['a', 'b'].map((n) => lease.acquire(`${n}${String(i)}`, LONG)),
        ),
      )
      const got = holds.filter((hold) => hold !== null)
      assert.equal(got.length, 1, `round ${String(round)}`)
      const [first] = parties
      assert.deepEqual(await first?.current(), got[0])
      if (got[0] !== undefined) await first?.release(got[0])
    }
  })

  test(`${name}: only its holder renews and releases, and the token grows each time`, async () => {
    const { contender } = await open()
    const [mine, other] = [await contender(systemClock), await contender(systemClock)]
    assert.equal(await mine.current(), null)
    const first = held(await mine.acquire('mine', LONG))
    assert.equal(await other.acquire('other', LONG), null)
    assert.equal(await mine.renew(first, LONG), true)
    const forged: LeaseHold = { ...first, holder: 'other' }
    assert.equal(await other.renew(forged, LONG), false)
    await other.release(forged)
    assert.deepEqual(await other.current(), first)
    await mine.release(first)
    assert.equal(await other.current(), null)
    assert.equal(await mine.renew(first, LONG), false)
    const second = held(await other.acquire('other', LONG))
    assert.ok(second.token > first.token)
    await mine.release(first)
    assert.deepEqual(await mine.current(), second)
    const again = held(await other.acquire('other', LONG))
    assert.ok(again.token > second.token)
    assert.equal(await other.renew(second, LONG), false)
  })

  test(`${name}: it expires when it is not renewed, and who had it cannot go on`, async () => {
    const { contender } = await open()
    const [slept, next] = [await contender(systemClock), await contender(systemClock)]
    const began = performance.now()
    const first = held(await slept.acquire('slept', TTL))
    await systemClock.sleep(TTL / 2)
    const renewed = performance.now()
    assert.equal(await slept.renew(first, TTL), true)
    const second = await untilTaken(next, 'next')
    assert.ok(performance.now() - renewed >= TTL - 5, 'taken before the renewed time was over')
    assert.ok(performance.now() - began < 10 * TTL)
    assert.ok(second.token > first.token)
    assert.equal(await slept.renew(first, TTL), false)
    await slept.release(first)
    assert.deepEqual(await slept.current(), second)
  })

  test(`${name}: what the clocks of the contenders show does not matter`, async () => {
    const { contender } = await open()
    const ahead = await contender(skewed(3_600_000))
    const behind = await contender(skewed(-3_600_000))
    const first = held(await behind.acquire('behind', LONG))
    assert.equal(await ahead.acquire('ahead', LONG), null)
    assert.deepEqual(await ahead.current(), first)
    await behind.release(first)
    const began = performance.now()
    held(await ahead.acquire('ahead', TTL))
    await untilTaken(behind, 'behind')
    const took = performance.now() - began
    assert.ok(took >= TTL - 5 && took < 10 * TTL, `free after ${String(took)} ms`)
  })

  test(`${name}: a holder that is killed keeps it until its time is over, not longer`, async () => {
    const { contender, program, folder } = await open()
    const lease = await contender(systemClock)
    const script = join(folder, 'holder.ts')
    await writeFile(
      script,
      `${program}
       let hold = await lease.acquire('child', ${String(TTL)})
       for (;;) {
         if (hold === null || !(await lease.renew(hold, ${String(TTL)}))) process.exit(1)
         await new Promise((resolve) => setTimeout(resolve, 50))
       }`,
    )
    const child = await start(process.execPath, [script], {
      env: minimalEnv(),
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    let first: LeaseHold | null = null
    try {
      while (first === null && child.exitCode === null) first = await lease.current()
      // Longer than its time to live: it renews.
      const until = performance.now() + 1.5 * TTL
      while (performance.now() < until) {
        assert.equal(await lease.acquire('next', TTL), null)
        await systemClock.sleep(100)
      }
    } finally {
      child.kill('SIGKILL')
      await ended
    }
    const killed = performance.now()
    assert.equal(first?.holder, 'child')
    const second = await untilTaken(lease, 'next')
    assert.ok(performance.now() - killed < 5 * TTL)
    assert.ok(second.token > first.token)
  })

  test(`${name}: a length of time that is none is refused`, async () => {
    const lease = await (await open()).contender(systemClock)
    for (const ttl of [0, -1, 1.5, Number.NaN])
      await assert.rejects(lease.acquire('x', ttl), RangeError)
  })
}

function held(hold: LeaseHold | null): LeaseHold {
  assert.ok(hold !== null, 'the lease was not given')
  return hold
}

async function untilTaken(lease: Lease, holder: string): Promise<LeaseHold> {
  for (;;) {
    const hold = await lease.acquire(holder, LONG)
    if (hold !== null) return hold
    await systemClock.sleep(20)
  }
}

function skewed(byMs: number): Clock {
  return { ...systemClock, now: () => Date.now() + byMs }
}
