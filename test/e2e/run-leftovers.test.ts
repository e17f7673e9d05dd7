/** What `fairway run` starts is gone when it has ended: its file system, its network, its address. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { containersWork } from '../containers-work.ts'
import { startPrivatePlatform } from './private-platform.ts'
import { ProbeApp } from './probe-app.ts'

for (const { runner, skip, folder } of [
  { runner: 'process', skip: false, folder: 'processes' },
  { runner: 'container', skip: await containersWork(), folder: 'instances' },
] as const) {
  describe(`fairway run, runner ${runner}`, { skip, timeout: 400_000 }, () => {
    it('leaves nothing but its log', async () => {
      const platform = await startPrivatePlatform({ runner, subnet: '10.233.0.0/20' })
      try {
        const app = await ProbeApp.create(platform, 'shop')
        await app.deploy()
        for (const code of [0, 3]) {
          const argv = ['node', '-e', `console.log('ran'); process.exit(${String(code)})`]
          const ran = await platform.fairway(['run', '--app', 'shop', '--', ...argv])
          assert.deepEqual([ran.code, ran.stdout.trim()], [code, 'ran'], ran.stderr)
        }
        const { instances } = await app.status()
        const left = await readdir(join(platform.dataDir, folder))
        assert.deepEqual(
          left,
          instances.map(({ id }) => id),
        )
        assert.equal((await platform.must(['logs', '--app', 'shop'])).match(/ran$/gm)?.length, 2)
        await app.remove()
      } finally {
        await platform.destroy()
      }
    })
  })
}
