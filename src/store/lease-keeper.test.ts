import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { silentLog } from '../lib/log.ts'
import type { Lease, LeaseHold } from '../model/lease.ts'
import { keepLease, type LeaseKeeperOptions } from './lease-keeper.ts'

/** A lease whose answers the test chooses. */
class ScriptedLease implements Lease {
  token = 0
  holder: string | null = null
  away = false
  renewals = 0

  async acquire(holder: string): Promise<LeaseHold | null> {
    await this.#answer()
    if (this.holder !== null) return null
    this.holder = holder
    this.token++
    return { holder, token: this.token }
  }

  async renew(hold: LeaseHold): Promise<boolean> {
    await this.#answer()
    this.renewals++
    return this.holder === hold.holder && this.token === hold.token
  }

  async release(hold: LeaseHold): Promise<void> {
    await this.#answer()
    if (this.token === hold.token) this.holder = null
  }

  async current(): Promise<LeaseHold | null> {
    await this.#answer()
    return this.holder === null ? null : { holder: this.holder, token: this.token }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  async #answer(): Promise<void> {
    await Promise.resolve()
    if (this.away) throw new Error('away')
  }
}

const TTL = 300
const never = new AbortController().signal

/** By a clock that stands: a lease is lost by time alone where the test says so, not because the machine did something else for a while. */
function optionsFor(lease: Lease, holder: string): LeaseKeeperOptions {
  return { lease, holder, ttlMs: TTL, log: silentLog, elapsedMs: () => 0 }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5)
}

test('it is renewed while it is kept, and free when released', async () => {
  const lease = new ScriptedLease()
  const kept = await keepLease(optionsFor(lease, 'a'), never)
  await until(() => lease.renewals >= 4)
  assert.equal(kept.lost.aborted, false)
  await kept.release()
  assert.equal(lease.holder, null)
  const { renewals } = lease
  await sleep(TTL)
  assert.equal(lease.renewals, renewals)
})

test('who does not get it waits, also while it cannot be asked', async () => {
  const lease = new ScriptedLease()
  const first = await keepLease(optionsFor(lease, 'a'), never)
  let second: LeaseHold | null = null
  const waiting = keepLease(optionsFor(lease, 'b'), never).then((kept) => {
    second = kept.hold
    return kept
  })
  await sleep(TTL / 2)
  assert.equal(second, null)
  await first.release()
  lease.away = true
  await sleep(TTL / 2)
  assert.equal(second, null)
  lease.away = false
  const kept = await waiting
  assert.deepEqual(kept.hold, { holder: 'b', token: 2 })
  await kept.release()
})

test('it is lost when another has it', async () => {
  const lease = new ScriptedLease()
  const kept = await keepLease(optionsFor(lease, 'a'), never)
  lease.holder = 'b'
  lease.token++
  await until(() => kept.lost.aborted)
  assert.match(String(kept.lost.reason), /another has it/)
  await kept.release()
  assert.equal(lease.holder, 'b')
})

test('it is lost before its time is over where it cannot be renewed', async () => {
  const lease = new ScriptedLease()
  const began = performance.now()
  const elapsedMs = (): number => performance.now()
  const kept = await keepLease({ ...optionsFor(lease, 'a'), elapsedMs }, never)
  lease.away = true
  await until(() => kept.lost.aborted)
  const took = performance.now() - began
  assert.ok(took >= TTL * 0.8 && took < TTL * 20, `after ${String(took)} ms`)
  assert.match(String(kept.lost.reason), /in time/)
  await kept.release()
})

test('who waits can be told to stop', async () => {
  const lease = new ScriptedLease()
  const first = await keepLease(optionsFor(lease, 'a'), never)
  const stop = new AbortController()
  const waiting = keepLease(optionsFor(lease, 'b'), stop.signal)
  stop.abort()
  await assert.rejects(waiting, { name: 'AbortError' })
  await first.release()
})
