import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openBoxedKitchen, type BoxedKitchen } from '../../test/boxed-kitchen.ts'
import { containerProblem, USERS } from '../../test/container-harness.ts'
import { FolderSource } from '../../test/fakes/folder-source.ts'
import type { TestKitchen } from '../../test/fakes/test-kitchen.ts'
import { run } from '../lib/process.ts'
import { readPackageSources } from './package-sources.ts'

const skip = await containerProblem()

for (const { where, withoutUserNamespace } of USERS) {
  describe(`bake in containers${where}`, { skip: skip ?? false, timeout: 300_000 }, () => {
    const root = mkdtempSync(join(tmpdir(), 'fairway-boxed-'))
    let boxed: BoxedKitchen | null = null
    let kitchen: TestKitchen

    before(async () => {
      boxed = await openBoxedKitchen({ withoutUserNamespace })
      kitchen = boxed.kitchen
    })

    after(async () => {
      await boxed?.close()
      rmSync(root, { recursive: true, force: true })
    })

    test('install, install scripts and build run in a container that has the app’s Node, npm and a shell', async () => {
      const source = join(root, 'app')
      mkdirSync(source)
      const script =
        "id -u > who.txt && cat /proc/self/cgroup > /dev/null && node -e \"require('esbuild').transformSync('let a')\" && cp input.txt out.txt"
      writeFileSync(
        join(source, 'package.json'),
        JSON.stringify({
          name: 'boxed',
          version: '1.0.0',
          scripts: { build: script },
          dependencies: { ms: '2.1.3' },
          devDependencies: { esbuild: '0.21.5' },
        }),
      )
      writeFileSync(join(source, 'input.txt'), 'built')
      writeFileSync(join(source, 'server.js'), 'require("ms")')
      const { hostEnv } = await readPackageSources(process.env)
      await run('npm', ['install', '--package-lock-only', '--ignore-scripts', '--no-audit'], {
        cwd: source,
        env: hostEnv,
      })
      const plan = {
        kind: 'node',
        version: null,
        lockfile: 'package-lock.json',
        command: ['node', 'server.js'],
      } as const
      const result = await kitchen.bake(plan, new FolderSource(source))
      assert.match(result.summary, /^4 layers, 4 new/)
      const [app = '', modules = ''] = await kitchen.images.lowerDirs(result.image.digest)
      assert.equal(readFileSync(join(app, 'app/out.txt'), 'utf8'), 'built')
      assert.deepEqual(
        readdirSync(join(modules, 'app/node_modules')).filter((name) => !name.startsWith('.')),
        ['ms'],
      )
      const again = await kitchen.bake(plan, new FolderSource(source))
      assert.deepEqual(
        [again.image.digest, again.summary],
        [result.image.digest, '4 layers, 0 new'],
      )
    })

    test('a build that fills the memory is ended and says so', async () => {
      const source = join(root, 'hog')
      mkdirSync(source)
      writeFileSync(
        join(source, 'hog.js'),
        'const a = []; for (;;) a.push(Buffer.alloc(1 << 24, 1))',
      )
      const plan = {
        kind: 'node',
        version: null,
        lockfile: null,
        command: ['node', 'hog.js'],
      } as const
      const baking = kitchen.bake(plan, new FolderSource(source), { command: ['node', 'hog.js'] })
      await assert.rejects(baking, /node hog\.js needed more than 2 GiB of memory/)
    })
  })
}
