import assert from 'node:assert/strict'
import { lookup } from 'node:dns/promises'
import { after, before, describe, test } from 'node:test'
import { containersWork } from '../containers-work.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { ProbeApp } from './probe-app.ts'

const skip = await containersWork()

describe('names between apps, runner container', { skip, timeout: 120_000 }, () => {
  let platform: PrivatePlatform
  let shop: ProbeApp
  let stock: ProbeApp
  before(async () => {
    platform = await startPrivatePlatform({ runner: 'container', subnet: '10.222.16.0/20' })
    shop = await ProbeApp.create(platform, 'shop')
    stock = await ProbeApp.create(platform, 'stock', {
      processes: {
        web: { command: 'node server.js' },
        api: { command: 'node server.js', port: 9000, routes: {}, env: { GREETING: 'api' } },
      },
    })
    await Promise.all([shop.deploy(), stock.deploy()])
  })
  after(async () => {
    await platform.destroy()
    await Promise.all([shop.remove(), stock.remove()])
  })

  test('an app calls another by its name, and a process of it by its own', async () => {
    const web = await shop.call('http://stock.internal/')
    assert.match(web.body ?? '', /^probe \(release 1/)
    assert.deepEqual(await shop.call('http://web.stock.internal/'), web)
    assert.match((await shop.call('http://api.stock.internal/')).body ?? '', /^api /)
    assert.equal((await stock.call('http://web.stock.internal/healthz')).body, 'well')
  })

  test('a name that means nothing does not resolve', async () => {
    for (const name of ['nobody.internal', 'worker.stock.internal', 'a.b.c.internal', 'internal'])
      assert.equal(await shop.get(`/resolve?name=${name}`), 'ENOTFOUND', name)
  })

  test('the address of another instance, and all of the host but DNS and router, is refused', async () => {
    const address = (await stock.status()).instances[0]?.address
    assert.ok(address)
    const { error: refused } = await shop.call(`http://${address.host}:${String(address.port)}/`)
    assert.match(String(refused), /^(ETIMEDOUT|EHOSTUNREACH|ECONNREFUSED|ENETUNREACH)$/)
    const gateway = await shop.get('/resolve?name=stock.internal')
    for (const port of [platform.apiPort, platform.httpPort, 22]) {
      const { error } = await shop.call(`http://${gateway}:${String(port)}/`)
      assert.equal(error, 'ECONNREFUSED')
    }
  })

  test('the router asks who calls: a public host name leads nowhere inside', async () => {
    const gateway = await shop.get('/resolve?name=stock.internal')
    assert.equal((await shop.call(`http://${gateway}/`)).status, 404)
  })

  test('an environment has names of its own', async () => {
    await shop.deploy('--env', 'staging')
    assert.equal(await shop.get('/resolve?name=stock.internal', 'staging'), 'ENOTFOUND')
    await stock.deploy('--env', 'staging')
    assert.match(
      (await shop.call('http://stock.internal/env?name=FAIRWAY_ENVIRONMENT', 'staging')).body ?? '',
      /^staging$/,
    )
    assert.match(
      (await shop.call('http://stock.internal/env?name=FAIRWAY_ENVIRONMENT')).body ?? '',
      /^production$/,
    )
  })

  test('jobs call others by name: `run` and the release command', async () => {
    const url = 'http://api.stock.internal/healthz'
    const ran = await platform.fairway(['run', '--app', 'shop', '--', 'node', 'call.js', url])
    assert.equal(ran.code, 0, ran.stdout + ran.stderr)
    assert.match(ran.stdout, /well/)
    await shop.describe({ release: { command: `node call.js ${url}` } })
    assert.match(await shop.deploy(), /"body":"well"/)
    const [first] = (await shop.status()).instances
    const executed = await platform.must(['exec', '--app', 'shop', '--', 'node', 'call.js', url])
    assert.match(executed, /well/, `in ${String(first?.id)}`)
  })

  test('a name outside is asked where the host asks', async (context) => {
    const name = await resolvableName()
    if (name === null) {
      context.skip('the host resolves no name outside')
      return
    }
    const [address] = await lookup(name, { all: true, family: 4 })
    assert.ok(address !== undefined)
    assert.notEqual(await shop.get(`/resolve?name=${name}`), 'ENOTFOUND')
  })
})

describe('names between apps, runner process', { timeout: 60_000 }, () => {
  test('they do not resolve, and `plan` says so for an app that uses one', async () => {
    const platform = await startPrivatePlatform({ runner: 'process' })
    const shop = await ProbeApp.create(platform, 'shop', {
      env: { STOCK: 'http://stock.internal/', LEVEL: 'info' },
    })
    try {
      const planned = await platform.must(['plan', shop.folder])
      assert.match(planned, /warning: STOCK: names that end in \.internal do not resolve/)
      await shop.deploy()
      assert.equal((await shop.call('http://stock.internal/')).error, 'ENOTFOUND')
    } finally {
      await platform.destroy()
      await shop.remove()
    }
  })
})

/** The host of the package registry that this machine is configured for. */
async function resolvableName(): Promise<string | null> {
  const registry = process.env['npm_config_registry']
  if (registry === undefined) return null
  const { hostname } = new URL(registry)
  return lookup(hostname, { family: 4 }).then(
    () => hostname,
    () => null,
  )
}
