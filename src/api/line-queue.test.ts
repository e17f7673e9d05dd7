import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LineQueue } from './line-queue.ts'

test('values come out in order and reading ends after the end', async () => {
  const queue = new LineQueue<number>(100)
  queue.push(1)
  const read = queue.read()
  assert.deepEqual((await read.next()).value, { value: 1, dropped: 0 })
  const waiting = read.next()
  queue.push(2)
  assert.deepEqual((await waiting).value, { value: 2, dropped: 0 })
  queue.push(3)
  queue.end()
  assert.deepEqual((await read.next()).value, { value: 3, dropped: 0 })
  assert.equal((await read.next()).done, true)
})

test('a slow reader loses the oldest and learns how many', async () => {
  const queue = new LineQueue<number>(10)
  for (let n = 0; n < 1000; n += 1) queue.push(n)
  queue.end()
  const seen: number[] = []
  let dropped = 0
  for await (const item of queue.read()) {
    seen.push(item.value)
    dropped += item.dropped
  }
  assert.ok(seen.length <= 10)
  assert.equal(seen.at(-1), 999)
  assert.equal(dropped + seen.length, 1000)
})
