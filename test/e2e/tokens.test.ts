import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { ProbeApp } from './probe-app.ts'
import { runToEnd, type RunResult } from '../../src/lib/process.ts'

describe('tokens', { timeout: 400_000 }, () => {
  let platform: PrivatePlatform
  let app: ProbeApp
  let home: string
  before(async () => {
    platform = await startPrivatePlatform({ runner: 'process' })
    app = await ProbeApp.create(platform, 'shop')
    await app.deploy()
    home = await mkdtemp(join(tmpdir(), 'fairway-person-'))
  })
  after(async () => {
    await platform.destroy()
    await Promise.all([app.remove(), rm(home, { recursive: true, force: true })])
  })

  /** The CLI as another person runs it: own home, nothing of the owner's login. */
  const person = (name: string, args: readonly string[], input?: string): Promise<RunResult> =>
    runToEnd(process.execPath, [join(import.meta.dirname, '../../src/bin/cli.ts'), ...args], {
      env: { ...platform.env, HOME: join(home, name), XDG_CONFIG_HOME: join(home, name) },
      ...(input === undefined ? {} : { input }),
    })
  const server = (): string => `http://127.0.0.1:${String(platform.apiPort)}`
  const create = async (name: string, role: string, ...more: string[]): Promise<string> =>
    (await platform.must(['tokens', 'create', name, '--role', role, ...more])).trim()

  test('without a token nothing is said', async () => {
    const anonymous = await person('nobody', ['ps', '--server', server()])
    assert.equal(anonymous.code, 3)
    assert.match(anonymous.stderr, /fairway login/)
    assert.equal(anonymous.stdout, '')
  })

  test('a viewer looks and changes nothing', async () => {
    const token = await create('vera', 'viewer')
    const login = await person('vera', ['login', server(), '--token', '-'], `${token}\n`)
    assert.equal(login.code, 0, login.stderr)
    assert.match((await person('vera', ['ps'])).stdout, /shop/)
    assert.match((await person('vera', ['whoami'])).stdout, /vera[^]*viewer everywhere/)
    const refused = [
      ['deploy', app.folder],
      ['scale', 'web=2', '--app', 'shop'],
      ['env', 'set', 'A=b', '--app', 'shop'],
      ['rollback', '1', '--app', 'shop'],
      ['run', '--app', 'shop', '--', 'node', '-v'],
      ['exec', '--app', 'shop', '--', 'node', '-v'],
      ['destroy', 'shop', '--yes'],
      ['tokens', 'create', 'more', '--role', 'admin'],
      ['gc'],
    ]
    for (const args of refused) {
      const { code, stderr } = await person('vera', args)
      assert.equal(code, 3, `${args.join(' ')}: ${stderr}`)
    }
    assert.match(await app.get('/'), /release 1/)
  })

  test('a developer deploys and makes no tokens', async () => {
    const token = await create('dev', 'developer')
    const login = await person('dev', ['login', server(), '--token', token])
    assert.equal(login.code, 0, login.stderr)
    const deployed = await person('dev', ['deploy', app.folder])
    assert.equal(deployed.code, 0, deployed.stdout + deployed.stderr)
    assert.equal((await person('dev', ['tokens', 'create', 'x', '--role', 'admin'])).code, 3)
    assert.equal((await person('dev', ['tokens', 'list'])).code, 3)
  })

  test('an admin makes tokens; a revoked one ends at once', async () => {
    const token = await create('ada', 'admin')
    await person('ada', ['login', server(), '--token', token])
    const made = await person('ada', ['tokens', 'create', 'ci', '--expires', '90d'])
    assert.equal(made.code, 0, made.stderr)
    assert.match(
      (await person('ada', ['tokens', 'list'])).stdout,
      /ci +developer everywhere .* in (89|90)d/,
    )
    await platform.must(['tokens', 'revoke', 'ada'])
    const refused = await person('ada', ['ps'])
    assert.equal(refused.code, 3, refused.stdout)
    assert.doesNotMatch(await platform.must(['tokens', 'list', '--json']), new RegExp(token))
  })

  test('a token ends when its time is over', async () => {
    const token = await create('short', 'viewer', '--expires', '1s')
    await new Promise((done) => setTimeout(done, 1_100))
    const refused = await person('short', ['login', server(), '--token', token])
    assert.equal(refused.code, 3, refused.stdout)
  })
})
