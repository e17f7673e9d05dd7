import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fetchText } from '../../bench/load.ts'
import { containersWork } from '../containers-work.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'

const APP = resolve(import.meta.dirname, '../../bench/apps/hello')
const KEPT = 2
const VERSIONS = 6

for (const [runner, skip] of [
  ['process', false],
  ['container', await containersWork()],
] as const) {
  describe(`garbage collection, runner ${runner}`, { skip, timeout: 600_000 }, () => {
    let platform: PrivatePlatform
    let folder: string
    before(async () => {
      platform = await startPrivatePlatform({
        runner,
        subnet: '10.225.0.0/16',
        env: { FAIRWAY_RELEASES_KEPT: String(KEPT), FAIRWAY_COLLECT_GRACE_MINUTES: '0' },
      })
      folder = await mkdtemp(join(tmpdir(), 'fairway-collect-'))
      await cp(APP, folder, { recursive: true })
    })
    after(async () => {
      await platform.destroy()
      await rm(folder, { recursive: true, force: true })
    })

    const answer = (): Promise<string> =>
      fetchText({
        port: platform.httpPort,
        host: 'hello.localhost',
        path: '/',
        agent: false,
        body: null,
      })
    const count = async (...path: string[]): Promise<number> =>
      (await readdir(join(platform.dataDir, ...path))).length

    test('what runs or can be rolled back to stays; the rest goes', async () => {
      for (let version = 1; version <= VERSIONS; version++) {
        await writeFile(join(folder, 'version.js'), `export const version = '${String(version)}'\n`)
        await platform.must(['deploy', folder, '--app', 'hello'])
      }
      const layers = await count('images/layers')
      await platform.must(['gc'])
      assert.ok((await count('images/layers')) <= layers - (VERSIONS - KEPT - 1))
      if (runner === 'process') assert.equal(await count('trees'), KEPT + 1)
      assert.equal(await answer(), String(VERSIONS))
      await platform.must(['rollback', String(VERSIONS - KEPT), '--app', 'hello'])
      assert.equal(await answer(), String(VERSIONS - KEPT))
      const gone = await platform.fairway(['rollback', '1', '--app', 'hello'])
      assert.equal(gone.code, 4)
    })

    test('a deploy after a collection works, also of a version whose files were collected', async () => {
      await platform.must(['gc'])
      await writeFile(join(folder, 'version.js'), "export const version = '1'\n")
      await platform.must(['deploy', folder, '--app', 'hello'])
      assert.equal(await answer(), '1')
    })
  })
}
