import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { FairwayError } from '../model/errors.ts'
import { oneAtATime } from './one-at-a-time.ts'

const folder = await mkdtemp(join(tmpdir(), 'fairway-lock-'))
after(() => rm(folder, { recursive: true, force: true }))
const lock = join(folder, 'lock')

test('tasks under one lock never overlap, and one that fails lets the next in', async () => {
  let inside = 0
  let most = 0
  const task = async (): Promise<void> => {
    inside += 1
    most = Math.max(most, inside)
    await new Promise(setImmediate)
    inside -= 1
    throw new Error('done')
  }
  const all = await Promise.allSettled([1, 2, 3].map(() => oneAtATime(lock, 10_000, task)))
  assert.equal(most, 1)
  assert.deepEqual(
    all.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  )
})

test('a turn that does not come is a CONFLICT', async () => {
  const gate = Promise.withResolvers<undefined>()
  const first = oneAtATime(lock, 1000, () => gate.promise)
  await assert.rejects(
    oneAtATime(lock, 0, () => Promise.resolve()),
    (error) => error instanceof FairwayError && error.code === 'CONFLICT',
  )
  gate.resolve(undefined)
  await first
})
