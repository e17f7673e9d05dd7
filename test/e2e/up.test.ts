/** `fairway up` as a user meets it: again, beside a program on the same port, and for a user who may not. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { freePorts, startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'

describe('fairway up', { timeout: 400_000 }, () => {
  let platform: PrivatePlatform
  before(async () => {
    platform = await startPrivatePlatform({ runner: 'process' })
  })
  after(async () => {
    await platform.destroy()
  })

  it('can be repeated, and tells what really runs, whatever is asked for', async () => {
    const again = await platform.must(['up', '--http-port', '1', '--port', '2'])
    assert.match(again, new RegExp(`server {3}http://127.0.0.1:${platform.apiPort} {2}\\(was`))
    assert.match(again, new RegExp(`router {3}http://localhost:${platform.httpPort} {2}\\(was`))
    assert.match(again, /runner {3}process/)
    assert.match(again, /login {4}you are /)
  })

  it('names the log files in status', async () => {
    const status = await platform.must(['status'])
    assert.match(status, /server +running .*log \S+server\.log/)
    assert.match(status, /router +running .*log \S+router\.log/)
  })

  it('says in plain words that a port is taken, and leaves nothing half started', async () => {
    await platform.must(['down'])
    const taken = createServer((socket) => socket.destroy()).listen(platform.apiPort, '127.0.0.1')
    await once(taken, 'listening')
    try {
      const { code, stderr } = await platform.fairway(['up'])
      assert.equal(code, 5, stderr)
      assert.match(
        stderr,
        /127\.0\.0\.1:\d+ is taken by another program\nhint: {2}End that program/,
      )
      assert.doesNotMatch(stderr, / at /)
      const status = await platform.fairway(['status'])
      assert.match(status.stdout, /router +stopped/)
    } finally {
      taken.close()
      await once(taken, 'close')
    }
    await platform.must(['up'])
  })

  it('takes turns with others and with `down`: never half a platform, never two', async () => {
    const commands = [['up', '--restart'], ['down'], ['up'], ['up']]
    const ended = await Promise.all(commands.map((command) => platform.fairway(command)))
    for (const { code, stderr } of ended) assert.equal(code, 0, stderr)
    const { stdout } = await platform.fairway(['status'])
    const states = [...stdout.matchAll(/^(?:server|router) +(\w+)/gm)].map(([, state]) => state)
    assert.equal(states.length, 2, stdout)
    assert.equal(states[0], states[1], stdout)
    await platform.must(['up'])
    assert.match(await platform.must(['up']), /was running[\s\S]*was running/)
  })

  it('waits for a server of its own that does not answer yet', async () => {
    const server = pidIn(await platform.must(['status']))
    process.kill(server, 'SIGSTOP')
    const waiting = platform.fairway(['up'])
    try {
      // Longer than `up` waits for one answer.
      await setTimeout(6_000)
    } finally {
      process.kill(server, 'SIGCONT')
    }
    const { code, stdout, stderr } = await waiting
    assert.equal(code, 0, stderr)
    assert.match(stdout, /server .*\(was running\)/)
    assert.equal(pidIn(await platform.must(['status'])), server)
  })

  it('refuses the port of another Fairway server', async () => {
    const [httpPort = 0] = await freePorts(1)
    const other = ['--data', `${platform.dataDir}-other`, '--http-port', String(httpPort)]
    const { code, stderr } = await platform.fairway(['up', ...other])
    assert.equal(code, 5, stderr)
    assert.match(stderr, /another Fairway server, with another data directory, answers at/)
  })

  it('names a data directory that cannot be made', async () => {
    const { code, stderr } = await platform.fairway(['up', '--data', '/dev/null/here'])
    assert.equal(code, 3)
    assert.match(
      stderr,
      /\/dev\/null\/here cannot be the data directory[\s\S]*hint: {2}Choose another/,
    )
  })
})

function pidIn(status: string): number {
  const pid = Number(/^server .* pid (\d+)/m.exec(status)?.[1])
  assert.ok(pid > 0, status)
  return pid
}
