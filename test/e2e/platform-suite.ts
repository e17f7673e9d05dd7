import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fetchText, startLoad } from '../../bench/load.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'

const root = resolve(import.meta.dirname, '../..')

export interface PlatformSuiteOptions {
  readonly runner: 'container' | 'process'
  readonly skip: string | false
  readonly subnet: string
}

/** What a user does in daily life, through the real CLI, server and router, on either runner. */
export function platformSuite({ runner, skip, subnet }: PlatformSuiteOptions): void {
  describe(`platform with runner ${runner}`, { skip, timeout: 900_000 }, () => {
    let platform: PrivatePlatform
    let folder: string
    before(async () => {
      platform = await startPrivatePlatform({ runner, subnet })
      folder = await mkdtemp(join(tmpdir(), 'fairway-app-'))
      await cp(join(root, 'examples/node-hello'), folder, { recursive: true })
    })
    after(async () => {
      await platform.destroy()
      await rm(folder, { recursive: true, force: true })
    })

    const get = (host: string, path = '/'): Promise<string> =>
      fetchText({ port: platform.httpPort, host, path, agent: false, body: null })
    const hello = (): Promise<string> => get('hello.localhost')
    const deploy = (text: string): Promise<string> =>
      edit(folder, text).then(() => platform.must(['deploy', folder, '--app', 'hello']))

    test('a folder becomes a URL', async () => {
      const output = await deploy('one')
      assert.match(output, new RegExp(`http://hello\\.localhost:${String(platform.httpPort)}`))
      assert.equal(await hello(), 'one (release 1)\n')
      assert.match(await platform.must(['ps', '--app', 'hello']), /ready/)
    })

    test('the next version takes over, and rollback brings the old one back', async () => {
      await deploy('two')
      assert.equal(await hello(), 'two (release 2)\n')
      await platform.must(['rollback', '--app', 'hello'])
      assert.equal(await hello(), 'one (release 3)\n')
      await platform.must(['rollback', '2', '--app', 'hello'])
      assert.equal(await hello(), 'two (release 4)\n')
      const releases = await platform.must(['releases', '--app', 'hello'])
      assert.match(releases, /rollback to 2/)
    })

    test('values of the environment make a new release and never show in it', async () => {
      await platform.must(['env', 'set', 'MESSAGE=from the environment', '--app', 'hello'])
      assert.match(await hello(), /^from the environment/)
      assert.doesNotMatch(
        await platform.must(['releases', '--app', 'hello', '--json']),
        /from the environment/,
      )
      await platform.must(['env', 'unset', 'MESSAGE', '--app', 'hello'])
      assert.match(await hello(), /^two/)
    })

    test('scale, run, exec and logs', async () => {
      await platform.must(['scale', 'web=3', '--app', 'hello'])
      await until(
        async () =>
          ((await platform.must(['ps', '--app', 'hello'])).match(/ready/g) ?? []).length >= 3,
      )
      const ran = await platform.fairway([
        'run',
        '--app',
        'hello',
        '--',
        'node',
        '-e',
        'console.log(6*7); process.exit(5)',
      ])
      assert.match(ran.stdout, /42/)
      assert.equal(ran.code, 5)
      const executed = await platform.must(['exec', '--app', 'hello', '--', 'node', '-p', '6*7'])
      assert.match(executed, /42/)
      assert.match(await platform.must(['logs', '--app', 'hello', '-n', '50']), /listening/)
      await platform.must(['scale', 'web=1', '--app', 'hello'])
    })

    test('a version that does not start leaves the old one serving and explains itself', async () => {
      await writeFile(
        join(folder, 'server.js'),
        "console.log('cannot find my database'); process.exit(7)\n",
      )
      const before = await hello()
      const failed = await platform.fairway(['deploy', folder, '--app', 'hello'])
      const said = failed.stdout + failed.stderr
      assert.notEqual(failed.code, 0)
      assert.match(said, /exit code 7/)
      assert.match(said, /cannot find my database/)
      assert.equal(await hello(), before)
    })

    test('the release command runs once, before the new version, and its failure stops the deploy', async () => {
      await edit(folder, 'migrated')
      await writeFile(
        join(folder, 'fairway.yaml'),
        'version: 1\nname: hello\nrelease: { command: ["node", "-e", "console.log(\'migrating\')"] }\n',
      )
      assert.match(await platform.must(['deploy', folder]), /migrating/)
      assert.match(await hello(), /^migrated/)
      await edit(folder, 'never')
      await writeFile(
        join(folder, 'fairway.yaml'),
        'version: 1\nname: hello\nrelease: { command: ["node", "-e", "process.exit(9)"] }\n',
      )
      const failed = await platform.fairway(['deploy', folder])
      assert.notEqual(failed.code, 0)
      assert.match(failed.stdout + failed.stderr, /release command failed/)
      assert.match(await hello(), /^migrated/)
      await rm(join(folder, 'fairway.yaml'))
    })

    test('of deploys at the same time the newest wins', async () => {
      const results = []
      for (const text of ['first', 'second', 'third', 'fourth']) {
        const copy = await mkdtemp(join(tmpdir(), 'fairway-copy-'))
        await cp(join(root, 'examples/node-hello'), copy, { recursive: true })
        await edit(copy, text)
        const queued = await platform.must(['deploy', copy, '--app', 'hello', '--detach']).then(
          () => null,
          () => platform.fairway(['deploy', copy, '--app', 'hello']),
        )
        results.push(queued)
        await rm(copy, { recursive: true, force: true })
      }
      await until(async () => /^fourth/.test(await hello()))
      await platform.must(['status', '--app', 'hello'])
    })

    test('a mix of requests loses nothing while versions change', async () => {
      const traffic = await mkdtemp(join(tmpdir(), 'fairway-traffic-'))
      await cp(join(root, 'bench/apps/traffic'), traffic, { recursive: true })
      await platform.must(['deploy', traffic, '--app', 'traffic'])
      const load = startLoad({ port: platform.httpPort, host: 'traffic.localhost', rate: 100 })
      for (const version of ['1', '2', '3']) {
        await writeFile(join(traffic, 'version.js'), `export const version = '${version}'\n`)
        await platform.must(['deploy', traffic, '--app', 'traffic'])
      }
      const report = await load.stop()
      assert.deepEqual(report.failures, [])
      assert.ok(report.sent > 50)
      const logs = ['logs', '--app', 'traffic', '-n', '100000']
      const posted = async (): Promise<readonly (string | undefined)[]> =>
        [...(await platform.must(logs)).matchAll(/POST (\d+)/g)].map(([, id]) => id)
      let seen = await posted()
      const lost = (): readonly string[] => report.acknowledged.filter((id) => !seen.includes(id))
      // What was printed last is in the log a moment later.
      for (let looks = 0; lost().length > 0 && looks < 20; looks++) seen = await posted()
      assert.deepEqual(lost(), [])
      assert.equal(seen.length, new Set(seen).size)
      await platform.must(['destroy', 'traffic', '--yes'])
      await rm(traffic, { recursive: true, force: true })
    })

    test('the server may be killed at any moment of a deploy: the next one goes on and nothing is lost', async () => {
      for (let round = 0; round < 6; round++) {
        await edit(folder, `round ${String(round)}`)
        const deploying = platform.fairway(['deploy', folder, '--app', 'hello'])
        await new Promise((done) => setTimeout(done, 90 + round * 70))
        await kill(platform, 'server')
        assert.match(await hello(), /release/, 'the router goes on without the server')
        await platform.must(['up'])
        const deployed = await deploying
        // Either it had been accepted, then it goes on, or the CLI says that nobody answers.
        assert.ok([0, 8].includes(deployed.code ?? -1), deployed.stdout + deployed.stderr)
        await until(async () => {
          const { rollout } = await status(platform)
          return rollout === null || !['queued', 'running'].includes(rollout)
        })
        await platform.must(['deploy', folder, '--app', 'hello'])
        assert.match(await hello(), new RegExp(`^round ${String(round)}`))
        await until(async () => (await status(platform)).instances === 1)
      }
    })

    test('the router may be killed: the next one serves what it stored', async () => {
      await kill(platform, 'router')
      await platform.must(['up'])
      assert.match(await hello(), /release/)
    })

    test('errors name what is wrong, with the code of the table', async () => {
      const unknown = await platform.fairway(['ps', '--app', 'nobody'])
      assert.equal(unknown.code, 4)
      const empty = await mkdtemp(join(tmpdir(), 'fairway-empty-'))
      await writeFile(join(empty, 'notes.txt'), 'nothing to run')
      const unrecognised = await platform.fairway(['deploy', empty, '--app', 'empty'])
      assert.equal(unrecognised.code, 2)
      assert.match(unrecognised.stderr, /package\.json/)
      await writeFile(
        join(empty, 'fairway.yaml'),
        'version: 1\nname: empty\nprocesses:\n  web:\n    comand: x\n',
      )
      const typo = await platform.fairway(['deploy', empty])
      assert.equal(typo.code, 2)
      assert.match(typo.stderr, /fairway\.yaml:5:5[\s\S]*command/)
      await rm(empty, { recursive: true, force: true })
    })

    test('destroy removes everything of the app', async () => {
      await platform.must(['destroy', 'hello', '--yes'])
      await assert.rejects(hello())
      assert.equal((await platform.fairway(['ps', '--app', 'hello'])).code, 4)
    })
  })
}

async function edit(folder: string, text: string): Promise<void> {
  const source = await readFile(join(root, 'examples/node-hello/server.js'), 'utf8')
  const changed = source
    .replace('Hello from Fairway', text)
    .replace("'?'", "'?'\nconsole.log('listening')")
  await writeFile(join(folder, 'server.js'), changed)
}

async function kill(platform: PrivatePlatform, program: 'server' | 'router'): Promise<void> {
  const { pid } = JSON.parse(
    await readFile(join(platform.dataDir, `programs/${program}.pid`), 'utf8'),
  ) as { pid: number }
  process.kill(pid, 'SIGKILL')
}

async function status(
  platform: PrivatePlatform,
): Promise<{ readonly rollout: string | null; readonly instances: number }> {
  const { apps } = JSON.parse(await platform.must(['ps', '--app', 'hello', '--json'])) as {
    apps: readonly { rollout: { status: string } | null; instances: readonly unknown[] }[]
  }
  return { rollout: apps[0]?.rollout?.status ?? null, instances: apps[0]?.instances.length ?? 0 }
}

async function until(check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 180_000
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error('did not come true within 180 s')
    await new Promise((done) => setTimeout(done, 50))
  }
}
