/** One data folder has one router, whoever starts it; only `fairway up` may put another in its place. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { minimalEnv, runToEnd, start } from '../../src/lib/process.ts'
import { identify } from '../../src/lib/process-identity.ts'
import { FairwayError } from '../../src/model/errors.ts'
import { connectTraffic } from '../../src/router/control-client.ts'
import { freePorts } from './private-platform.ts'
import { eventually } from './probe-app.ts'

const ROUTER = resolve(import.meta.dirname, '../../src/bin/router.ts')

describe('a second router on one data folder', { timeout: 300_000 }, () => {
  let folder: string
  let socket: string
  const routers: Awaited<ReturnType<typeof start>>[] = []
  const ports: number[] = []
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fairway-routers-'))
    socket = join(folder, 'router/control.sock')
    ports.push(...(await freePorts(2)))
    const first = await run(ports[0])
    await eventually(async () => (await connectTraffic(socket).status()).pid === first.pid)
    await eventually(async () => (await readFile(join(folder, 'programs/router.pid'))).length > 0)
  })
  after(async () => {
    for (const router of routers) {
      if (router.exitCode !== null || router.signalCode !== null) continue
      const ended = once(router, 'exit')
      router.kill('SIGCONT')
      router.kill('SIGKILL')
      await ended
    }
    await rm(folder, { recursive: true, force: true })
  })

  const envOf = (port: number | undefined): Record<string, string> => ({
    ...minimalEnv(),
    FAIRWAY_DATA_DIR: folder,
    FAIRWAY_HTTP_PORT: String(port),
    FAIRWAY_HTTPS_PORT: 'off',
    FAIRWAY_RUNNER: 'process',
  })
  const run = async (port: number | undefined) => {
    const env = envOf(port)
    const router = await start(process.execPath, [ROUTER], { env, stdio: 'ignore' })
    routers.push(router)
    return router
  }
  /** A person starts another one, with other ports. */
  const byHand = async (): Promise<string> => {
    const options = { env: envOf(ports[1]), timeoutMs: 100_000 }
    const { code, stdout, stderr } = await runToEnd(process.execPath, [ROUTER], options)
    assert.equal(code, 1)
    return stdout + stderr
  }

  it('is refused, and the first one goes on', async () => {
    const [first] = routers
    const refused = new RegExp(`another router \\(process ${String(first?.pid)}\\) already serves`)
    assert.match(await byHand(), refused)
    assert.equal((await connectTraffic(socket).status()).pid, first?.pid)
  })

  it('is refused also where the pid file is damaged', async () => {
    const file = join(folder, 'programs/router.pid')
    const text = await readFile(file, 'utf8')
    await writeFile(file, '{"pid":')
    assert.match(await byHand(), /another router \(process \d+\) already serves/)
    await writeFile(file, text)
  })

  it('is refused also while the first one hangs', async () => {
    const [first] = routers
    first?.kill('SIGSTOP')
    try {
      assert.match(await byHand(), /another router \(process \d+\) already serves/)
    } finally {
      first?.kill('SIGCONT')
    }
    assert.equal((await connectTraffic(socket).status()).pid, first?.pid)
  })

  it('takes over where the first one is told to start it, and the first one leaves', async () => {
    const [first] = routers
    assert.ok(first)
    const left = once(first, 'exit')
    const program = process.execPath
    const log = join(folder, 'programs/router.log')
    const order = { program, args: [ROUTER], env: envOf(ports[0]), log }
    // Asked at once: when the first is answered it may have left already.
    const told = await Promise.allSettled([0, 1].map(() => connectTraffic(socket).succeed(order)))
    const pids: number[] = []
    for (const one of told)
      if (one.status === 'fulfilled') pids.push(one.value.pid)
      else assert.ok(one.reason instanceof FairwayError && one.reason.code === 'CONFLICT')
    const [pid = 0] = pids
    assert.deepEqual(pids, [pid])
    await eventually(async () => (await connectTraffic(socket).status()).pid === pid)
    assert.deepEqual(await left, [0, null])
    process.kill(pid, 'SIGTERM')
    await eventually(async () => (await identify(pid)) === null)
  })
})
