import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { DOORS, INSTANCES, isFree, PortChoice } from './port-choice.ts'

/** Above all that is chosen, below all that a system hands out by itself. */
const RANGE = { first: 32_761, count: 5 }

test('a port is given once, and never one that somebody has or listens at', async () => {
  const server = createServer().listen(RANGE.first, '127.0.0.1')
  await once(server, 'listening')
  try {
    assert.equal(await isFree(RANGE.first), false)
    const choice = new PortChoice(Math.random)
    const taken = new Set([RANGE.first + 1])
    const given = await Promise.all([0, 1, 2].map(() => choice.choose(RANGE, taken)))
    assert.deepEqual(
      given.toSorted(),
      [2, 3, 4].map((number) => RANGE.first + number),
    )
    await assert.rejects(choice.choose(RANGE, taken), {
      code: 'INSTANCE_FAILED',
      message: 'no port from 32761 to 32765 is free on loopback',
    })
  } finally {
    server.close()
  }
})

test('no range meets the other, or that of ports which a system hands out by itself', () => {
  const end = ({ first, count }: typeof RANGE): number => first + count
  assert.ok(end(DOORS) <= INSTANCES.first)
  assert.ok(end(INSTANCES) <= RANGE.first && end(RANGE) <= 32_768)
})
