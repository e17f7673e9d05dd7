import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { containersWork } from '../containers-work.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually, ProbeApp, type AppStatus } from './probe-app.ts'

disposableSuite({ runner: 'process', skip: false })
disposableSuite({ runner: 'container', skip: await containersWork() })

function disposableSuite({
  runner,
  skip,
}: {
  readonly runner: 'container' | 'process'
  readonly skip: string | false
}): void {
  describe(`disposable instances, runner ${runner}`, { skip, timeout: 400_000 }, () => {
    let platform: PrivatePlatform
    const apps: ProbeApp[] = []
    const create = async (name: string, web: object): Promise<ProbeApp> => {
      const processes = { web: { command: 'node server.js', ...web } }
      const app = await ProbeApp.create(platform, name, { processes })
      apps.push(app)
      return app
    }
    before(async () => {
      platform = await startPrivatePlatform({ runner, subnet: '10.222.48.0/20' })
    })
    after(async () => {
      await platform.destroy()
      for (const app of apps) await app.remove()
    })

    test('copies are recycled at their maximum age, one after the other, without a lost request', async () => {
      const app = await create('aging', { maxAge: '3s', scale: { min: 2 } })
      await app.deploy()
      // More than two where the first is being replaced already.
      const first = ids(await app.status())
      assert.ok(first.length >= 2)
      const failures: string[] = []
      const requests: Promise<void>[] = []
      const timer = setInterval(() => {
        const request = app.get('/wait?ms=30').then(
          () => undefined,
          (error: unknown) => void failures.push(String(error)),
        )
        requests.push(request)
      }, 15)
      let fewest = Infinity
      let shown = ''
      try {
        await eventually(async () => {
          const now = await app.status()
          const ready = now.instances.filter(({ state }) => state === 'ready').length
          if (ready < fewest) shown = JSON.stringify(now.instances)
          fewest = Math.min(fewest, ready)
          const isOver = first.every((id) => !ids(now).includes(id))
          return isOver && ready >= 2 && requests.length > 50
        })
      } finally {
        clearInterval(timer)
        await Promise.all(requests)
      }
      assert.deepEqual(failures, [])
      assert.ok(fewest >= 2, `only ${String(fewest)} ready at one time: ${shown}`)
      await platform.must(['destroy', 'aging', '--yes'])
    })

    test('an instance that crashes is replaced at once, then with growing pauses that `ps` shows', async () => {
      const app = await create('crashing', {})
      await app.deploy()
      const [before] = ids(await app.status())
      await app.get('/exit?code=3')
      await eventually(async () => {
        const [now] = (await app.status()).instances
        return now !== undefined && now.id !== before && now.state === 'ready' && now.restarts === 1
      })
      assert.equal((await app.status()).instances[0]?.reason, 'restarted after exit code 3')
      // Each pause is longer than the one before, so that a look falls into one of them.
      await eventually(
        async () => {
          await app.get('/exit?code=3')
          const shown = await platform.must(['ps', '--app', 'crashing'])
          return /crashed .*exit code 3, next start after [\d.]+ s/.test(shown)
        },
        { withinMs: 120_000 },
      )
      await eventually(async () => (await app.status()).instances[0]?.state === 'ready')
      assert.match(await platform.must(['logs', '--app', 'crashing']), /exit code 3/)
      await platform.must(['destroy', 'crashing', '--yes'])
    })

    test('an instance that answers its probes badly leaves the routes and is replaced', async () => {
      const app = await create('sickly', {
        scale: { min: 2 },
        health: {
          ready: '/healthz',
          start: '15s',
          check: { interval: '100ms', timeout: '1s', failures: 2 },
        },
      })
      await app.deploy()
      const before = ids(await app.status())
      await app.get('/sick')
      await eventually(async () => {
        const { instances } = await app.status()
        return instances.some(({ state, reason }) => state === 'unready' && reason.includes('503'))
      })
      // Out of the routes, as soon as the router has taken the table: every answer comes from the one that is well.
      await eventually(async () => {
        for (let count = 0; count < 20; count++) assert.equal(await app.get('/healthz'), 'well')
        return true
      })
      await eventually(async () => {
        const { instances } = await app.status()
        const ready = instances.filter(({ state }) => state === 'ready')
        return ready.length === 2 && ready.some(({ id }) => !before.includes(id))
      })
      assert.match(await platform.must(['logs', '--app', 'sickly']), /not ready within 15 s: .*503/)
      await platform.must(['destroy', 'sickly', '--yes'])
    })

    if (runner === 'container') {
      test('one that needs more memory than it may says so in `ps` and `logs`', async () => {
        const app = await create('hungry', { resources: { memory: '96Mi' } })
        await app.deploy()
        await app.get('/eat-memory')
        const why = 'out of memory (limit 96 MiB)'
        await eventually(async () =>
          (await platform.must(['ps', '--app', 'hungry'])).includes(`restarted after ${why}`),
        )
        assert.ok((await platform.must(['logs', '--app', 'hungry'])).includes(why))
      })
    }
  })
}

function ids({ instances }: AppStatus): string[] {
  return instances.map(({ id }) => id)
}
