import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, request, Agent, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { identify } from '../lib/process-identity.ts'
import { minimalEnv, start } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'
import type { Target } from '../model/traffic.ts'
import { freePorts } from '../../test/e2e/private-platform.ts'
import { eventually, tableOf, webService } from '../../test/fakes/router-bed.ts'
import { startRouter } from './router.ts'
import { connectTraffic, type RouterControl } from './control-client.ts'

type ChildProcess = Awaited<ReturnType<typeof start>>

const PROGRAM = resolve(import.meta.dirname, '../../test/fakes/router-process.ts')

describe('a router in its own process', () => {
  let folder = ''
  let server: Server
  let target: Target
  let control: RouterControl
  let uploaded = 0
  /** Answers the request that the app holds; null before it has it. */
  let release: (() => void) | null = null
  let revision = 20
  const running = new Set<ChildProcess>()

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fairway-router-'))
    control = connectTraffic(join(folder, 'control.sock'))
    server = createServer((incoming, response) => {
      if (incoming.url === '/held') release = () => response.end('held')
      else {
        incoming.on('data', (chunk: Buffer) => (uploaded += chunk.length))
        incoming.on('end', () => response.end('ok'))
      }
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as AddressInfo
    target = { id: 't1', weight: 1, address: { host: '127.0.0.1', port } }
  })
  afterEach(async () => {
    for (const child of running) await end(child, 'SIGKILL')
  })
  after(async () => {
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true, force: true })
  })

  const run = async (port = 0): Promise<{ child: ChildProcess; port: number }> => {
    const args = [PROGRAM, join(folder, 'state'), join(folder, 'control.sock'), String(port)]
    const stdio = ['ignore', 'pipe', 'inherit'] as const
    const child = await start(process.execPath, args, { env: minimalEnv(), stdio: [...stdio] })
    running.add(child)
    const line = await new Promise<string>((done) =>
      child.stdout?.once('data', (data) => done(String(data))),
    )
    return { child, port: Number(/\d+/.exec(line)?.[0]) }
  }
  const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
    running.delete(child)
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((done) => child.once('exit', done))
    child.kill(signal)
    await exited
  }
  const ask = (port: number, path = '/', agent?: Agent, host = 'app.test'): Promise<string> =>
    new Promise((done, fail) => {
      const options = { host: '127.0.0.1', port, path, headers: { host } }
      const outgoing = request(
        agent === undefined ? options : { ...options, agent },
        (response) => {
          let text = `${String(response.statusCode)} `
          response.on('data', (chunk: Buffer) => (text += chunk.toString()))
          response.on('end', () => done(text))
        },
      )
      outgoing.on('error', fail).end()
    })
  /** A request that the app has, and keeps until it is released. */
  const hold = async (port: number, agent?: Agent): Promise<{ answer: Promise<string> }> => {
    release = null
    const answer = ask(port, '/held', agent)
    await eventually(() => release !== null)
    return { answer }
  }

  test('after kill -9 it serves its stored table without the server', async () => {
    // One that nobody else is given while the first is gone and the second not there yet.
    const first = await run((await freePorts(1))[0])
    assert.equal(await control.current(), null)
    const table = tableOf(7, [webService([target])])
    await control.publish(table, [])
    await end(first.child, 'SIGKILL')
    await assert.rejects(control.current(), { code: 'ROUTER_UNAVAILABLE' })
    const second = await run(first.port)
    assert.equal(await ask(second.port), '200 ok')
    assert.deepEqual(await control.current(), table)
    await assert.rejects(
      control.publish(tableOf(6, []), []),
      (error) =>
        error instanceof FairwayError &&
        error.code === 'CONFLICT' &&
        /6 is older than 7/.test(error.message),
    )
    await control.publish(table, [])
    assert.equal((await stat(join(folder, 'control.sock'))).mode & 0o777, 0o600)
    assert.equal((await control.status()).revision, 7)
  })

  test('a damaged table file does not keep it from starting', async () => {
    await writeFile(join(folder, 'state/table.json'), '{"table":')
    const { port } = await run()
    assert.equal(await control.current(), null)
    assert.match(await ask(port), /^404 /)
    await control.publish(tableOf(1, [webService([target])]), [])
    assert.equal(await ask(port), '200 ok')
  })

  describe('is replaced under way', () => {
    let old: { child: ChildProcess; port: number }
    let door: number
    let successor: number | null = null
    before(async () => {
      door = (await freePorts(1))[0] ?? 0
    })
    beforeEach(async () => {
      successor = null
      old = await run()
      const callers = [{ address: `127.0.0.1:${String(door)}`, ref: webService([]).ref }]
      await control.publish(tableOf(++revision, [webService([target])]), callers)
    })
    afterEach(async () => {
      const pid = successor
      if (pid === null) return
      process.kill(pid, 'SIGKILL')
      await eventually(async () => (await identify(pid)) === null)
    })

    const succeed = async (args?: readonly string[]): Promise<number> => {
      const own = [PROGRAM, join(folder, 'state'), join(folder, 'control.sock'), String(old.port)]
      const program = {
        program: process.execPath,
        args: [...(args ?? own)],
        env: minimalEnv(),
        log: join(folder, 'router.log'),
      }
      for (;;) {
        // One that has just ended is in the way until the old one has heard of its end.
        const started = await control.succeed(program).catch(isConflict)
        if (started !== null) return started.pid
        await sleep(5)
      }
    }
    const takeOver = async (): Promise<number> => {
      const pid = await succeed()
      successor = pid
      await eventually(async () => (await control.status()).pid === pid)
      return pid
    }
    test('the old one finishes what it has, and leaves', async () => {
      const held = await hold(old.port)
      const left = new Promise((done) => old.child.once('exit', done))
      await takeOver()
      release?.()
      assert.equal(await held.answer, '200 held')
      assert.equal(await left, 0)
      for (let round = 0; round < 10; round++) assert.equal(await ask(old.port), '200 ok')
      assert.equal(await ask(door, '/', undefined, 'app.internal'), '200 ok')
    })

    test('a target is not drained before the old one has nothing for it', async () => {
      const held = await hold(old.port)
      await takeOver()
      await control.publish(tableOf(++revision, [webService([])]), [])
      let drained = false
      const drain = control.drain('t1', 10_000).then((result) => {
        drained = true
        return result
      })
      for (let calls = 0; calls < 5; calls++) await control.status()
      assert.equal(drained, false)
      release?.()
      assert.equal(await held.answer, '200 held')
      assert.deepEqual(await drain, { cut: 0 })
    })

    test('the old one learns what is published after it: its connections do not lead to what is gone', async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      assert.equal(await ask(old.port, '/', agent), '200 ok')
      await takeOver()
      await control.publish(tableOf(++revision, [webService([])]), [])
      assert.match(await ask(old.port, '/', agent), /^503 /)
      agent.destroy()
    })

    test('whoever asks or publishes meanwhile gets an answer, and what was acknowledged is served', async () => {
      let over = false
      const failures: unknown[] = []
      const asking = async (): Promise<void> => {
        while (!over) await control.status().catch((error: unknown) => failures.push(error))
      }
      const publishing = async (): Promise<void> => {
        while (!over) {
          const table = tableOf(++revision, [webService([target])])
          // As the engine does: a call that fails is repeated.
          while (!(await control.publish(table, []).then(() => true, isUnavailable)));
          assert.ok(((await control.current())?.revision ?? 0) >= table.revision)
        }
      }
      const busy = [asking(), asking(), publishing()]
      await takeOver()
      await eventually(() => old.child.exitCode !== null)
      over = true
      await Promise.all(busy)
      assert.deepEqual(failures, [])
      assert.equal(await ask(old.port), '200 ok')
    })

    test('words of another version end neither: what one does not understand it leaves alone', async () => {
      const stranger = `process.send('hello'); process.send({ ask: 'dance', number: 1 }); process.send(null)
        setTimeout(() => process.exit(0), 200)`
      const pid = await succeed(['-e', stranger, 'stranger'])
      await eventually(async () => (await identify(pid)) === null)
      assert.equal((await control.status()).pid, old.child.pid)
      assert.equal(await ask(old.port), '200 ok')
    })

    test('one that cannot start leaves the old one in its place, also where it took the socket', async () => {
      const broken = await succeed(['-e', 'process.exit(3)', 'broken'])
      await eventually(async () => (await identify(broken)) === null)
      assert.equal((await control.status()).pid, old.child.pid)
      const thief = `const { createServer } = require('node:net')
        const { renameSync, rmSync } = require('node:fs')
        const socket = process.argv[1]
        createServer().listen(socket + '.new', () => {
          renameSync(socket + '.new', socket)
          process.exit(1)
        })`
      const stolen = await succeed(['-e', thief, join(folder, 'control.sock')])
      await eventually(async () => (await identify(stolen)) === null)
      await eventually(() =>
        control.status().then(
          ({ pid }) => pid === old.child.pid,
          () => false,
        ),
      )
      await control.publish(tableOf(++revision, [webService([target])]), [])
      assert.equal(await ask(old.port), '200 ok')
      await takeOver()
      assert.equal(await ask(old.port), '200 ok')
    })
  })

  test('SIGTERM lets keep-alive clients go without an error', async () => {
    const { child, port } = await run()
    await control.publish(tableOf(++revision, [webService([target])]), [])
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    assert.equal(await ask(port, '/', agent), '200 ok')
    const held = await hold(port, agent)
    const ended = end(child, 'SIGTERM')
    // It has heard the signal once it takes nobody else.
    await eventually(() =>
      ask(port).then(
        () => false,
        () => true,
      ),
    )
    release?.()
    assert.equal(await held.answer, '200 held')
    await ended
    agent.destroy()
  })

  test('a port that another router serves is not taken silently', async () => {
    const { port } = await run()
    const folderOfOther = join(folder, 'other')
    await assert.rejects(
      startRouter({
        stateDir: folderOfOther,
        controlSocket: join(folderOfOther, 'control.sock'),
        http: { host: '127.0.0.1', port },
      }),
      { code: 'EADDRINUSE' },
    )
  })

  test('a large upload passes with little memory', async () => {
    const { port } = await run()
    await control.publish(tableOf(++revision, [webService([target])]), [])
    const before = (await control.status()).memoryBytes
    const total = 500 * 1024 * 1024
    const block = Buffer.alloc(1 << 20, 'x')
    uploaded = 0
    let most = 0
    const answer = new Promise((done, fail) => {
      const outgoing = request(
        {
          host: '127.0.0.1',
          port,
          method: 'PUT',
          headers: { host: 'app.test', 'content-length': total },
        },
        done,
      )
      outgoing.on('error', fail)
      let sent = 0
      const more = (): void => {
        while (sent < total) {
          sent += block.length
          if (!outgoing.write(block)) break
        }
        if (sent >= total) outgoing.end()
        else outgoing.once('drain', more)
      }
      more()
    })
    const arrived = answer.then(() => true)
    do most = Math.max(most, (await control.status()).memoryBytes)
    while (!(await Promise.race([arrived, sleep(50, false)])))
    assert.equal(uploaded, total)
    assert.equal(most - before < 200 * 1024 * 1024, true, `grew by ${(most - before) >> 20} MiB`)
  })
})

function isConflict(error: unknown): null {
  if (error instanceof FairwayError && error.code === 'CONFLICT') return null
  throw error
}

function isUnavailable(error: unknown): false {
  if (error instanceof FairwayError && error.code === 'ROUTER_UNAVAILABLE') return false
  throw error
}
