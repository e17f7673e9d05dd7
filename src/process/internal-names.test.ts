import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { minimalEnv, runToEnd } from '../lib/process.ts'
import { internalNamesEnv } from './internal-names.ts'

describe('the environment for internal names', () => {
  test('what the app set wins; lists and options are joined', () => {
    const plain = internalNamesEnv(20_100, {})
    assert.equal(plain['http_proxy'], 'http://127.0.0.1:20100')
    assert.equal(plain['HTTP_PROXY'], 'http://127.0.0.1:20100')
    assert.equal(plain['no_proxy'], 'localhost,.localhost,127.0.0.1,::1')
    assert.match(plain['JAVA_TOOL_OPTIONS'] ?? '', /-Dhttp\.proxyPort=20100/)
    const own = internalNamesEnv(20_100, {
      NO_PROXY: 'intranet',
      NODE_OPTIONS: '--max-old-space-size=64',
      JAVA_TOOL_OPTIONS: '-Dhttp.proxyPort=1',
    })
    assert.equal(own['no_proxy'], 'intranet,localhost,.localhost,127.0.0.1,::1')
    assert.match(own['NODE_OPTIONS'] ?? '', /^--require ".*" --max-old-space-size=64$/)
    assert.match(own['JAVA_TOOL_OPTIONS'] ?? '', / -Dhttp\.proxyPort=1$/)
    const proxied = internalNamesEnv(20_100, { Http_Proxy: 'http://own/' })
    for (const name of ['http_proxy', 'HTTP_PROXY', 'no_proxy', 'NO_PROXY'])
      assert.equal(proxied[name], undefined)
  })
})

describe('a Node program with it', () => {
  let door: Server
  let env: Record<string, string>
  before(async () => {
    door = createServer((request, response) => response.end(`door ${String(request.headers.host)}`))
    await new Promise<void>((done) => door.listen(0, '127.0.0.1', done))
    const { port } = door.address() as AddressInfo
    env = { ...minimalEnv(), ...internalNamesEnv(port, {}) }
  })
  after(() => {
    door.closeAllConnections()
    door.close()
  })

  const run = async (script: string): Promise<string> => {
    const result = await runToEnd(process.execPath, ['-e', script], { env, timeoutMs: 20_000 })
    assert.equal(result.code, 0, result.stderr)
    return result.stdout.trim()
  }
  const printBody = '(r) => r.on("data", (d) => console.log(String(d)))'

  for (const [client, script] of Object.entries({
    fetch: 'fetch("http://a.internal/").then((r) => r.text()).then(console.log)',
    'http.get': `require("http").get("http://a.internal/", ${printBody})`,
    'an agent of its own': `require("http").get({ host: "a.internal", agent: false }, ${printBody})`,
    'a kept connection': `require("http").get("http://a.internal/", { agent: new (require("http").Agent)({ keepAlive: true, maxSockets: 1 }) }, ${printBody}).on("close", () => process.exit())`,
    'net.connect': `const s = require("net").connect(80, "a.internal", () => s.write("GET / HTTP/1.1\\r\\nHost: a.internal\\r\\nConnection: close\\r\\n\\r\\n")); s.on("data", (d) => console.log(String(d).split("\\r\\n\\r\\n")[1]))`,
  }))
    test(`${client} reaches the door`, async () => {
      assert.match(await run(script), /^door a\.internal$/m)
    })

  test('other ports and other names are left alone', async () => {
    for (const url of [
      'http://a.internal:81/',
      'https://a.internal/',
      'http://a.internal.invalid/',
    ])
      assert.match(
        await run(`fetch("${url}").catch((e) => console.log(e.cause.code))`),
        /^(ENOTFOUND|EAI_AGAIN)$/,
        url,
      )
  })
})
