import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { start } from '../../src/lib/process.ts'
import { containersWork } from '../containers-work.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually, ProbeApp } from './probe-app.ts'

logsSuite({ runner: 'process', skip: false })
logsSuite({ runner: 'container', skip: await containersWork() })

function logsSuite({
  runner,
  skip,
}: {
  readonly runner: 'container' | 'process'
  readonly skip: string | false
}): void {
  describe(`logs, runner ${runner}`, { skip, timeout: 400_000 }, () => {
    let platform: PrivatePlatform
    let app: ProbeApp
    before(async () => {
      platform = await startPrivatePlatform({ runner, subnet: '10.222.64.0/20' })
      app = await ProbeApp.create(platform, 'shop', {
        processes: {
          web: { command: 'node server.js', shutdown: { drain: '1s', stop: '2s' } },
          worker: {
            command: ['node', '-e', "console.log('worker begins'); setInterval(() => {}, 1e6)"],
          },
        },
      })
      await app.deploy()
    })
    after(async () => {
      await platform.destroy()
      await app.remove()
    })

    const logs = async (...args: readonly string[]): Promise<readonly string[]> => {
      const text = await platform.must(['logs', '--app', 'shop', '--raw', ...args])
      return text.split('\n').filter((line) => line !== '')
    }
    const write = (text: string, count = 1): Promise<string> =>
      app.get(`/log?text=${encodeURIComponent(text)}&count=${String(count)}`)
    const arrived = (text: string): Promise<void> =>
      eventually(async () => (await logs('--grep', text)).length > 0)

    test('of all instances together, or of one process', async () => {
      await arrived('worker begins')
      assert.ok((await logs()).some((line) => line.includes('probe shop listens')))
      const worker = await logs('--process', 'worker')
      assert.ok(worker.includes('worker begins'))
      assert.ok(!worker.some((line) => line.includes('listens')))
      const shown = await platform.must(['logs', '--app', 'shop'])
      assert.match(shown, /\d\d:\d\d:\d\d\.\d{3} worker-1-\w+ worker begins/)
    })

    test('the last lines, those with a text, those since a time', async () => {
      await write('needle one')
      await write('hay', 50)
      await write('needle two')
      await arrived('needle two')
      assert.deepEqual(await logs('--grep', 'needle'), ['needle one', 'needle two'])
      assert.deepEqual(await logs('-n', '1', '--process', 'web'), ['needle two'])
      assert.deepEqual(await logs('-n', '1', '--grep', 'needle one'), ['needle one'])
      assert.equal((await logs('--grep', 'hay', '-n', '1000')).length, 50)
      const since = new Date().toISOString()
      await write('afterwards')
      await arrived('afterwards')
      assert.deepEqual(await logs('--since', since, '--process', 'web'), ['afterwards'])
      assert.ok((await logs('--since', '1h', '--grep', 'needle')).length === 2)
    })

    test('-f goes on with what comes, also of the next release, until it is interrupted', async () => {
      const follow = await followLogs(platform, ['--app', 'shop', '--raw', '-n', '0', '-f'])
      try {
        // What is written before the connection stands is not followed: say it until it is heard.
        await eventually(() => write('live').then(() => follow.text().includes('live')))
        await app.deploy()
        await eventually(() => Promise.resolve(follow.text().includes('probe shop listens')))
        await write('from release two')
        await eventually(() => Promise.resolve(follow.text().includes('from release two')))
      } finally {
        assert.equal(await follow.interrupt(), 0)
      }
    })

    test('of instances that ended stay', async () => {
      assert.deepEqual(await logs('--grep', 'needle'), ['needle one', 'needle two'])
      const shown = await platform.must(['logs', '--app', 'shop', '--json', '--grep', 'needle one'])
      assert.equal((JSON.parse(shown) as { release: number }).release, 1)
    })

    test('are rotated, and read over the border of the files', async () => {
      await write(`${'x'.repeat(1000)} before`, 9_000)
      await write('in the middle')
      await arrived('in the middle')
      for (let round = 0; round < 3; round++) {
        await write(`${'y'.repeat(1000)} after`, 3_000)
        await eventually(async () => (await files()).length > 1).catch(() => undefined)
      }
      assert.ok((await files()).length > 1, (await files()).join())
      assert.deepEqual(await logs('--grep', 'in the middle'), ['in the middle'])
      await write('at the end')
      await arrived('at the end')
    })

    test('are gone with the app', async () => {
      await platform.must(['destroy', 'shop', '--yes'])
      assert.equal((await platform.fairway(['logs', '--app', 'shop'])).code, 4)
      assert.deepEqual(await readdir(join(platform.dataDir, 'logs')), [])
    })

    const files = async (): Promise<readonly string[]> => {
      const [web] = (await app.status()).instances.filter(({ process }) => process === 'web')
      const all = await readdir(join(platform.dataDir, 'logs/shop/production'))
      return all.filter((name) => name.startsWith(`${web?.id ?? ''}.log`))
    }
  })
}

interface Following {
  text(): string
  /** As Ctrl-C; its exit code. */
  interrupt(): Promise<number | null>
}

async function followLogs(platform: PrivatePlatform, args: readonly string[]): Promise<Following> {
  const cli = resolve(import.meta.dirname, '../../src/bin/cli.ts')
  const child = await start(process.execPath, [cli, 'logs', ...args], {
    env: platform.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
  return {
    text: () => text,
    interrupt: () => {
      child.kill('SIGINT')
      return ended
    },
  }
}
