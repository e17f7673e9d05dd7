import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { WorkQueue } from './work-queue.ts'

function queueOf(work: (key: string) => Promise<number | null>, width = 2): WorkQueue {
  const onFailure = (): void => undefined
  return new WorkQueue({ work, onFailure, width, clock: systemClock, random: () => 0 })
}

test('a key is worked on once at a time, and again where it was added meanwhile', async () => {
  const started: string[] = []
  let atOnce = 0
  let most = 0
  const gate = Promise.withResolvers<undefined>()
  const done = Promise.withResolvers<undefined>()
  const queue = queueOf(async (key) => {
    started.push(key)
    atOnce += 1
    most = Math.max(most, atOnce)
    await gate.promise
    atOnce -= 1
    if (started.length === 3) done.resolve(undefined)
    return null
  })
  queue.add('a')
  queue.add('a')
  queue.open()
  queue.add('b')
  queue.add('a')
  queue.add('a')
  gate.resolve(undefined)
  await done.promise
  assert.deepEqual(started, ['a', 'b', 'a'])
  assert.equal(most, 2)
  queue.close()
})

test('what is urgent goes before what waits', async () => {
  const started: string[] = []
  const done = Promise.withResolvers<undefined>()
  const queue = queueOf((key) => {
    started.push(key)
    if (started.length === 3) done.resolve(undefined)
    return Promise.resolve(null)
  }, 1)
  for (const key of ['a', 'b']) queue.add(key)
  queue.add('now', true)
  queue.open()
  await done.promise
  assert.deepEqual(started, ['now', 'a', 'b'])
  queue.close()
})

test('a failure is tried again after a pause that changes of the app do not shorten', async () => {
  const times: number[] = []
  const done = Promise.withResolvers<undefined>()
  const queue = queueOf((key) => {
    times.push(performance.now())
    if (times.length === 1) return Promise.reject(new Error(key))
    done.resolve(undefined)
    return Promise.resolve(null)
  })
  queue.open()
  queue.add('a')
  await new Promise((resolve) => setTimeout(resolve, 20))
  queue.add('a')
  await done.promise
  assert.equal(times.length, 2)
  assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 200)
  queue.close()
})
