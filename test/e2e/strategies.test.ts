import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { askThrough } from './routed.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually, ProbeApp } from './probe-app.ts'

const CANARY = {
  processes: {
    web: {
      scale: { min: 2 },
      deploy: {
        strategy: 'canary',
        steps: ['50%', '100%'],
        pause: '1s',
        analysis: { errorRate: '<5%', minRequests: 20 },
      },
    },
  },
}
const bluegreen = (keep: string): Readonly<Record<string, unknown>> => ({
  processes: { web: { deploy: { strategy: 'bluegreen', keep } } },
})

describe('rollouts with two releases at once', { timeout: 600_000 }, () => {
  let platform: PrivatePlatform
  before(async () => {
    platform = await startPrivatePlatform({ runner: 'process' })
  })
  after(() => platform.destroy())

  const releasesOf = async (app: ProbeApp): Promise<readonly number[]> =>
    (await app.status()).instances.map(({ release }) => release).sort((a, b) => a - b)
  const release = async (app: ProbeApp): Promise<string> =>
    (await askThrough(platform.httpPort, `${app.name}.localhost`, '/env?name=FAIRWAY_RELEASE')).body

  test('bluegreen switches at once, keeps the old release ready, and goes back to the same copies', async () => {
    const app = await ProbeApp.create(platform, 'blue', bluegreen('10m'))
    await app.deploy()
    const first = await app.status()
    await platform.must(['env', 'set', 'A=1', '--app', 'blue'])
    assert.deepEqual(await releasesOf(app), [1, 2])
    assert.match(await release(app), /2/)
    const back = await platform.must(['rollback', '--app', 'blue'])
    assert.match(back, /release 1/)
    assert.match(await release(app), /1/)
    assert.equal((await app.status()).active, 1)
    const ids = async (): Promise<string> =>
      (await app.status()).instances.map(({ id }) => id).join()
    await eventually(async () => (await ids()) === first.instances.map(({ id }) => id).join())
    await app.remove()
  })

  test('what bluegreen keeps goes when its time is over, also after a restart of the server', async () => {
    const app = await ProbeApp.create(platform, 'green', bluegreen('20s'))
    await app.deploy()
    await platform.must(['env', 'set', 'A=1', '--app', 'green'])
    assert.deepEqual(await releasesOf(app), [1, 2])
    await platform.must(['up', '--restart'])
    await eventually(async () => (await releasesOf(app)).join() === '2')
    assert.match(await release(app), /2/)
    await app.remove()
  })

  test('a canary that fails more than it may goes back by itself and says why; one that holds takes over', async () => {
    const app = await ProbeApp.create(platform, 'canary', CANARY)
    await app.deploy()
    const load = steadyLoad(() => askThrough(platform.httpPort, 'canary.localhost', '/maybe'))
    const bad = await platform.fairway(['env', 'set', 'FAIL=1', '--app', 'canary'])
    assert.notEqual(bad.code, 0)
    assert.match(bad.stdout + bad.stderr, /did not hold at 50 % of the traffic/)
    assert.match(bad.stdout + bad.stderr, /requests failed \(\d+(\.\d+)? %\); at most 5 % may|p95/)
    await eventually(async () => (await releasesOf(app)).join() === '1,1')
    const good = await platform.fairway(['env', 'set', 'FAIL=', '--app', 'canary'])
    assert.equal(good.code, 0, good.stderr)
    assert.match(good.stdout + good.stderr, /50 % of the traffic goes to release 3/)
    await load.stop()
    assert.equal((await app.status()).active, 3)
    await eventually(async () => (await releasesOf(app)).join() === '3,3')
    await app.remove()
  })

  test('silence holds a canary until a newer deploy takes over', async () => {
    const app = await ProbeApp.create(platform, 'quiet', CANARY)
    await app.deploy()
    const held = platform.fairway(['env', 'set', 'A=1', '--app', 'quiet'])
    await eventually(async () => (await releasesOf(app)).join() === '1,1,2')
    await new Promise((later) => setTimeout(later, 3_000))
    assert.deepEqual(await releasesOf(app), [1, 1, 2])
    const rollback = platform.fairway(['env', 'set', 'A=2', '--app', 'quiet'])
    assert.match((await held).stderr, /a newer one took over/)
    const load = steadyLoad(() => askThrough(platform.httpPort, 'quiet.localhost', '/'))
    assert.equal((await rollback).code, 0)
    await load.stop()
    await eventually(async () => (await releasesOf(app)).join() === '3,3')
    await app.remove()
  })
})

function steadyLoad(send: () => Promise<unknown>): { stop(): Promise<void> } {
  const sent: Promise<unknown>[] = []
  const timer = setInterval(() => sent.push(send().catch(() => undefined)), 20)
  return {
    stop: async () => {
      clearInterval(timer)
      await Promise.all(sent)
    },
  }
}
