import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { eventually, RawClient, RawServer, RouterBed } from '../../test/fakes/router-bed.ts'
import { AwakeTime } from './awake-time.ts'

test('a late tick takes its delay out of the time; a punctual one nothing', () => {
  let elapsed = 0
  const time = new AwakeTime(() => elapsed, 250)
  elapsed = 260
  assert.equal(time.tick(), 0)
  elapsed += 90_000 + 250
  assert.equal(time.tick(), 90_000)
  assert.equal(time.now(), 510)
  elapsed += 250
  assert.equal(time.tick(), 0)
  assert.equal(time.now(), 760)
})

/** A request whose answer comes when the test says so. */
async function slowExchange(clock: { now?: () => number; elapsed?: () => number }, limits = {}) {
  let answer: () => void = () => undefined
  const upstream = await RawServer.start((socket) => {
    answer = () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  })
  const bed = await RouterBed.start({ clock: { ...systemClock, ...clock }, limits })
  await bed.publish([upstream.target()])
  const client = new RawClient(bed.port).send('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n')
  await eventually(() => upstream.accepted === 1)
  return {
    client,
    answer: () => answer(),
    swept: () => new Promise((resolve) => setTimeout(resolve, 600)),
    close: async () => {
      client.close()
      await bed.close()
      await upstream.close()
    },
  }
}

for (const jumpMs of [-3_600_000, 3_600_000]) {
  test(`a wall clock that is set by ${String(jumpMs)} ms cuts no connection`, async () => {
    let jump = 0
    const slow = await slowExchange({ now: () => Date.now() + jump })
    try {
      jump = jumpMs
      await slow.swept()
      slow.answer()
      assert.match(await slow.client.until((text) => text.endsWith('ok')), /^HTTP\/1\.1 200 /)
    } finally {
      await slow.close()
    }
  })
}

test('a router that was stopped for minutes cuts no connection', async () => {
  let jump = 0
  const slow = await slowExchange({ elapsed: () => performance.now() + jump })
  try {
    jump = 600_000
    await slow.swept()
    slow.answer()
    assert.match(await slow.client.until((text) => text.endsWith('ok')), /^HTTP\/1\.1 200 /)
  } finally {
    await slow.close()
  }
})

test('deadlines hold while the wall clock stands', async () => {
  const slow = await slowExchange({ now: () => 0 }, { responseTimeoutMs: 300 })
  try {
    assert.match(await slow.client.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1\.1 504 /)
  } finally {
    await slow.close()
  }
})
