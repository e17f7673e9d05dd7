import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { ProbeApp } from './probe-app.ts'

const SECRET = 'value-that-nobody-sees'

describe('environments', { timeout: 400_000 }, () => {
  let platform: PrivatePlatform
  let app: ProbeApp
  before(async () => {
    platform = await startPrivatePlatform({ runner: 'process' })
    app = await ProbeApp.create(platform, 'shop', {
      env: { LEVEL: 'info', BOTH: 'same' },
      processes: { web: { command: 'node server.js', scale: { min: 1, max: 4 } } },
      environments: {
        staging: {
          env: { LEVEL: 'debug' },
          processes: { web: { scale: { min: 2 } } },
        },
      },
    })
    await app.deploy()
    await app.deploy('--env', 'staging')
  })
  after(async () => {
    await platform.destroy()
    await app.remove()
  })

  test('stand side by side, each under its host, with the overlay of the file', async () => {
    assert.equal(await app.get('/env?name=LEVEL'), 'info')
    assert.equal(await app.get('/env?name=LEVEL', 'staging'), 'debug')
    assert.equal(await app.get('/env?name=BOTH', 'staging'), 'same')
    assert.equal((await app.status()).instances.length, 1)
    assert.equal((await app.status('staging')).instances.length, 2)
    const shown = await platform.must(['ps'])
    assert.match(shown, /shop {2}production .*http:\/\/shop\.localhost:/)
    assert.match(shown, /shop {2}staging .*http:\/\/shop--staging\.localhost:/)
  })

  test('have values, releases and replicas of their own', async () => {
    await platform.must(['env', 'set', `KEY=${SECRET}`, '--app', 'shop', '--env', 'staging'])
    assert.equal(await app.get('/env?name=KEY', 'staging'), SECRET)
    assert.equal(await app.get('/env?name=KEY'), '')
    assert.match(await app.get('/', 'staging'), /release 2/)
    assert.match(await app.get('/'), /release 1/)
  })

  test('`plan` shows what would change and never a value', async () => {
    await app.describe({
      env: { LEVEL: `${SECRET}-2`, NEW: SECRET },
      processes: {
        web: { command: 'node server.js', resources: { memory: '256Mi' } },
        worker: { command: 'node server.js', env: { ONLY: SECRET } },
      },
    })
    const planned = await platform.must(['plan', app.folder, '--env', 'staging'])
    assert.match(planned, /~ env LEVEL/)
    assert.match(planned, /\+ env NEW/)
    assert.match(planned, /- env BOTH/)
    assert.match(planned, /~ web: memory 512Mi → 256Mi/)
    assert.match(planned, /\+ process worker/)
    const json = await platform.must(['plan', app.folder, '--env', 'staging', '--json'])
    for (const text of [planned, json]) assert.doesNotMatch(text, new RegExp(SECRET))
    for (const command of [
      ['ps', '--json'],
      ['releases', '--json'],
      ['env', 'list', '--json'],
    ]) {
      const args = [...command, '--app', 'shop', '--env', 'staging']
      const { stdout, stderr, code } = await platform.fairway(args)
      assert.equal(code, 0, stderr)
      assert.doesNotMatch(stdout, new RegExp(SECRET))
    }
  })

  test('a key of later work is refused with its position and the engine', async () => {
    const file =
      'version: 1\nname: shop\nprocesses:\n  web:\n    command: node server.js\n    scale: { min: 1, zero: { after: 5m } }\n'
    await writeFile(join(app.folder, 'fairway.yaml'), file)
    for (const command of ['plan', 'deploy']) {
      const { code, stderr } = await platform.fairway([command, app.folder])
      assert.equal(code, 2, stderr)
      assert.match(stderr, /fairway\.yaml:6:\d+/)
      assert.match(stderr, /processes\.web\.scale\.zero/)
      assert.match(stderr, /machine/)
    }
    assert.match(await app.get('/'), /release 1/)
  })

  test('a route belongs to one app', async () => {
    const routes = { main: { host: 'taken.localhost', path: '/api' } }
    await app.describe({ processes: { web: { command: 'node server.js', routes } } })
    await app.deploy()
    const other = await ProbeApp.create(platform, 'other', {
      processes: { web: { command: 'node server.js', routes } },
    })
    try {
      const { code, stderr } = await platform.fairway(['deploy', other.folder])
      assert.equal(code, 5, stderr)
      assert.match(stderr, /taken\.localhost\/api belongs to shop/)
      await other.describe({
        processes: {
          web: { command: 'node server.js', routes: { main: { host: 'taken.localhost' } } },
        },
      })
      await other.deploy()
    } finally {
      await other.remove()
    }
  })

  test('one can be destroyed and the other stays', async () => {
    await platform.must(['destroy', 'shop', '--env', 'staging', '--yes'])
    assert.doesNotMatch(await platform.must(['ps']), /staging/)
    assert.match(await platform.must(['ps']), /shop {2}production/)
  })
})
