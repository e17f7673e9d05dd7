import assert from 'node:assert/strict'
import { lookup } from 'node:dns/promises'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { containersWork } from '../containers-work.ts'
import { lacks } from './lacks.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually, ProbeApp } from './probe-app.ts'

const withoutContainers = await containersWork()
const lacksJava = lacks('java')
const lacksPython = lacks('python3')
const lacksCurl = lacks('curl')

for (const { runner, skip, subnet } of [
  { runner: 'container', skip: withoutContainers, subnet: '10.222.16.0/20' },
  { runner: 'process', skip: false, subnet: '10.222.32.0/20' },
] as const)
  describe(`names between apps, runner ${runner}`, { skip, timeout: 400_000 }, () => {
    let platform: PrivatePlatform
    let shop: ProbeApp
    let stock: ProbeApp
    before(async () => {
      platform = await startPrivatePlatform({ runner, subnet })
      shop = await ProbeApp.create(platform, 'shop')
      stock = await ProbeApp.create(platform, 'stock', {
        processes: {
          web: { command: 'node server.js' },
          api: {
            command: 'node server.js',
            env: { GREETING: 'api' },
            // Instances of plain processes share the host's ports: none can have one of its own choice twice.
            ...(runner === 'container'
              ? { port: 9000, routes: {} }
              : { routes: { api: { path: '/api' } } }),
          },
        },
      })
      await Promise.all([shop.deploy(), stock.deploy()])
    })
    after(async () => {
      await platform.destroy()
      await Promise.all([shop.remove(), stock.remove()])
    })

    const inShop = (...argv: readonly string[]): Promise<string> =>
      platform.must(['exec', '--app', 'shop', '--', ...argv])
    const node = (script: string): Promise<string> => inShop('node', '-e', script)
    const notThere = async (name: string, environment?: string): Promise<void> => {
      const { status, error } = await shop.call(`http://${name}/`, environment)
      // Where the network is the host's, only the router can say so.
      assert.equal(status ?? error, runner === 'container' ? 'ENOTFOUND' : 404, name)
    }

    test('an app calls another by its name, and a process of it by its own', async () => {
      const web = await shop.call('http://stock.internal/')
      assert.match(web.body ?? '', /^probe \(release 1/)
      assert.deepEqual(await shop.call('http://web.stock.internal/'), web)
      assert.match((await shop.call('http://api.stock.internal/')).body ?? '', /^api /)
      assert.equal((await stock.call('http://web.stock.internal/healthz')).body, 'well')
    })

    test('fetch, http.request and WebSocket reach it', async () => {
      const said = /^api \(release 1/m
      const url = 'http://api.stock.internal/'
      assert.match(await node(`fetch('${url}').then((r) => r.text()).then(console.log)`), said)
      const request = `require('http').request('${url}', { method: 'POST' }, (r) => r.pipe(process.stdout)).end('body')`
      assert.match(await node(request), said)
      const script = `if (typeof WebSocket === 'undefined') console.log('api without'); else new WebSocket('ws://api.stock.internal/').onmessage = ({ data }) => console.log(data)`
      assert.match(await node(script), /^api/)
    })

    test('a name that means nothing leads nowhere', async () => {
      for (const name of ['nobody.internal', 'worker.stock.internal', 'a.b.c.internal', 'internal'])
        if (runner === 'container' || name !== 'internal') await notThere(name)
    })

    test('an environment has names of its own', async () => {
      await shop.deploy('--env', 'staging')
      await notThere('stock.internal', 'staging')
      await stock.deploy('--env', 'staging')
      for (const environment of ['staging', 'production'])
        assert.equal(
          (await shop.call('http://stock.internal/env?name=FAIRWAY_ENVIRONMENT', environment)).body,
          environment,
        )
    })

    test('jobs call others by name: `run` and the release command', async () => {
      const url = 'http://api.stock.internal/healthz'
      const ran = await platform.fairway(['run', '--app', 'shop', '--', 'node', 'call.js', url])
      assert.equal(ran.code, 0, ran.stdout + ran.stderr)
      assert.match(ran.stdout, /well/)
      await shop.describe({ release: { command: `node call.js ${url}` } })
      assert.match(await shop.deploy(), /"body":"well"/)
      assert.match(await inShop('node', 'call.js', url), /well/)
    })

    test('it goes on after `kill -9` of the router, and while one router follows another', async () => {
      const pid = await shop.get('/')
      const file = join(platform.dataDir, 'programs/router.pid')
      const router = JSON.parse(await readFile(file, 'utf8')) as { readonly pid: number }
      process.kill(router.pid, 'SIGKILL')
      await platform.must(['up'])
      await eventually(
        async () => (await shop.call('http://stock.internal/healthz')).body === 'well',
      )
      await platform.must(['up', '--restart'])
      await eventually(
        async () => (await shop.call('http://stock.internal/healthz')).body === 'well',
      )
      assert.equal(await shop.get('/'), pid)
    })

    test('a stopped app answers 503', async () => {
      await platform.must(['scale', 'api=0', '--app', 'stock'])
      await eventually(async () => (await shop.call('http://api.stock.internal/')).status === 503)
      await platform.must(['scale', 'api=1', '--app', 'stock'])
      await eventually(async () => (await shop.call('http://api.stock.internal/')).status === 200)
    })

    if (runner === 'container') {
      test('the address of another instance, and all of the host but DNS and router, is refused', async () => {
        const address = (await stock.status()).instances[0]?.address
        assert.ok(address)
        const { error: refused } = await shop.call(
          `http://${address.host}:${String(address.port)}/`,
        )
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
    } else {
      const url = 'http://api.stock.internal/'
      test('curl', { skip: lacksCurl }, async () => {
        assert.match(await inShop('curl', '-sS', url), /^api /)
      })

      test('Python', { skip: lacksPython }, async () => {
        const script = `import urllib.request; print(urllib.request.urlopen('${url}').read().decode())`
        assert.match(await inShop('python3', '-c', script), /^api /)
      })

      test('Java, both clients', { skip: lacksJava }, async () => {
        const program = join(shop.folder, 'Call.java')
        await writeFile(program, JAVA)
        assert.match(await inShop('java', program, url), /api [^]*api /)
      })

      test('`plan` says where an app has a proxy of its own', async () => {
        await shop.describe({ env: { STOCK: 'http://stock.internal/', http_proxy: 'http://p/' } })
        assert.match(await platform.must(['plan', shop.folder]), /warning: http_proxy: /)
        await shop.describe({ env: { STOCK: 'http://stock.internal/' } })
        assert.doesNotMatch(await platform.must(['plan', shop.folder]), /warning/)
      })
    }
  })

const JAVA = `
import java.net.*; import java.net.http.*;
class Call { public static void main(String[] args) throws Exception {
  System.out.write(new URL(args[0]).openConnection().getInputStream().readAllBytes());
  var request = HttpRequest.newBuilder(URI.create(args[0])).build();
  System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
} }
`

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
