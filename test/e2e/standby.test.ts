/** The next instance of a stopped app is made ahead: it is the one that starts, and it goes with whatever it was made for. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { runFolder } from '../../src/container/container-host.ts'
import { listPids, readProc } from '../../src/lib/process-identity.ts'
import { containersWork } from '../containers-work.ts'
import { eventually } from '../runner-suite.ts'
import { killServer } from './kill-server.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { ProbeApp } from './probe-app.ts'

/** What the host has of instances, started or not. */
function madeOn({ dataDir }: PrivatePlatform): Promise<string[]> {
  return readdir(join(runFolder(dataDir), 'instances'))
}

/** Once it is done: conmon tells the process of a container that is there. */
async function madeAhead(platform: PrivatePlatform, app: ProbeApp): Promise<string> {
  return await eventually(async () => {
    if ((await app.status()).instances.length > 0) return null
    const ids = await madeOn(platform)
    const [id = ''] = ids
    const file = join(runFolder(platform.dataDir), 'instances', id, 'container.pid')
    return ids.length === 1 && (await readFile(file, 'utf8').catch(() => '')) !== '' ? id : null
  }, 'one instance made ahead')
}

async function processesOf({ dataDir }: PrivatePlatform): Promise<string[]> {
  const commands = await Promise.all((await listPids()).map((pid) => readProc(pid, 'cmdline')))
  return commands.filter(
    (command) => command?.includes('conmon') && command.includes(runFolder(dataDir)),
  ) as string[]
}

describe('an app that is stopped', { skip: await containersWork(), timeout: 400_000 }, () => {
  it('starts as the instance made ahead of it, which ends with its app, its server and a kill', async () => {
    const platform = await startPrivatePlatform({ runner: 'container', subnet: '10.232.0.0/20' })
    const scale = (count: number): Promise<string> =>
      platform.must(['scale', `web=${String(count)}`, '--app', 'shop'])
    try {
      const app = await ProbeApp.create(platform, 'shop')
      await app.deploy()
      await scale(0)
      const first = await madeAhead(platform, app)
      await scale(1)
      const started = await eventually(async () => {
        const { instances } = await app.status()
        return instances.find(({ state }) => state === 'ready')
      }, 'it runs')
      assert.equal(started.id, first)

      await scale(0)
      const second = await madeAhead(platform, app)
      await killServer(platform)
      await platform.must(['up'])
      assert.deepEqual(await madeOn(platform), [], `nothing is left of ${second}`)
      await scale(1)
      await eventually(async () => (await app.status()).instances[0]?.state === 'ready', 'it runs')

      await scale(0)
      await madeAhead(platform, app)
      await platform.must(['destroy', 'shop', '--yes'])
      assert.deepEqual(await madeOn(platform), [])
      assert.deepEqual(await processesOf(platform), [])
      await app.remove()
    } finally {
      await platform.destroy()
    }
  })
})
