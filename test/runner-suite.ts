import assert from 'node:assert/strict'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { start as startProgram } from '../src/lib/process.ts'
import type { FoundInstance, InstanceSpec } from '../src/model/instance.ts'
import { logFile } from '../src/model/log-file.ts'
import { parseAppName, parseEnvironmentName, parseProcessName } from '../src/model/names.ts'
import type { ImageFacts } from '../src/model/release.ts'
import type { ExecSession, Runner } from '../src/model/runner.ts'
import { payloadNames, Secret, type InstancePayload } from '../src/model/secrets.ts'
import { privateCases } from './private-cases.ts'

/** One runner over a data directory of its own, with an image that has `sh`, `sleep`, `cat` and `node`. */
export interface RunnerHarness {
  readonly runner: Runner
  readonly logDir: string
  readonly image: ImageFacts
  /** Folders besides `logDir` into which the runner writes. */
  readonly disks: readonly string[]
  /** A second object over the same data directory, as a restarted server makes it. */
  again(): Promise<Runner>
  /** Program and arguments of a server that starts and removes instances without end: see runner-victim.ts. */
  readonly victim: readonly string[]
  /** Everything of any instance that the host still holds, in words; spare parts of the runner itself are not meant. */
  leftovers(): Promise<readonly string[]>
  /** Ends everything, the files included. */
  close(): Promise<void>
}

export interface RunnerSuite {
  readonly name: string
  /** Why the suite cannot run here; null = it can. */
  readonly skip: string | null
  make(): Promise<RunnerHarness>
}

export const MEBIBYTE = 1 << 20

let counter = 0

/** A spec with everything that a test does not care about. */
export function sampleSpec(
  image: ImageFacts,
  argv: readonly string[],
  more: Partial<InstanceSpec> = {},
): InstanceSpec {
  counter++
  return {
    id: `web-1-${process.pid.toString(36)}${counter.toString(36)}`,
    ref: { app: parseAppName('sample'), environment: parseEnvironmentName('production') },
    process: parseProcessName('web'),
    kind: 'service',
    release: 1,
    image,
    argv,
    env: {},
    port: null,
    listens: false,
    health: {
      ready: null,
      live: null,
      startMs: 5000,
      intervalMs: 1000,
      timeoutMs: 1000,
      failures: 3,
    },
    shutdown: { signal: 'SIGTERM', drainMs: 0, stopMs: 1000 },
    resources: { cpu: 1, memory: 128 * MEBIBYTE, pids: 64 },
    createdAt: Date.now(),
    ...more,
  }
}

export async function eventually<T>(
  look: () => Promise<T | null | undefined | false> | T | null | undefined | false,
  what: string,
  withinMs = 60_000,
): Promise<T> {
  for (const end = Date.now() + withinMs; Date.now() < end;) {
    const value = await look()
    if (value !== null && value !== undefined && value !== false) return value
    await sleep(10)
  }
  throw new Error(`not within ${String(withinMs)} ms: ${what}`)
}

/** Text after the prefix of each line of an instance's log, rotated files included. */
export async function loggedLines(
  logDir: string,
  spec: InstanceSpec,
  streams: readonly string[] = ['stdout', 'stderr'],
): Promise<string[]> {
  const file = logFile(logDir, spec)
  const names = await readdir(dirname(file)).catch(() => [] as string[])
  const mine = names
    .filter((name) => name.startsWith(`${spec.id}.log`))
    .sort()
    .reverse()
  const texts = await Promise.all(mine.map((name) => readFile(`${dirname(file)}/${name}`, 'utf8')))
  const lines = texts
    .join('')
    .split('\n')
    .filter((line) => line !== '')
  return lines.flatMap((line) => {
    const match = /^(\S+) (\S+) [FP] ?(.*)$/.exec(line)
    return match !== null && streams.includes(match[2] ?? '') ? [match[3] ?? ''] : []
  })
}

export async function runIn(
  runner: Runner,
  id: string,
  argv: readonly string[],
  input = '',
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const session = await runner.exec(id, { argv, env: {}, tty: false })
  session.stdio.end(input)
  const [stdout, stderr] = await Promise.all([collect(session.stdio), collect(session.stderr)])
  return { code: (await session.exit).code, stdout, stderr }
}

async function collect(stream: ExecSession['stderr']): Promise<string> {
  let text = ''
  if (stream !== null) for await (const chunk of stream) text += String(chunk)
  return text
}

export const WEB = `require('net').createServer((s) => s.end('hello from ' + process.env.NAME)).listen(+process.env.PORT)`
const STUBBORN = 'trap "" TERM; echo ready; while :; do sleep 0.05; done'

/** What every runner must do, as model/runner.ts promises. */
export function runnerSuite(suite: RunnerSuite): void {
  describe(`runner ${suite.name}`, { skip: suite.skip ?? false }, () => {
    let harness: RunnerHarness
    before(async () => {
      harness = await suite.make()
    })
    after(async () => {
      await harness.close()
    })
    const spec = (argv: readonly string[], more: Partial<InstanceSpec> = {}): InstanceSpec =>
      sampleSpec(harness.image, argv, more)
    const logged = (of: InstanceSpec, text: string): Promise<true> =>
      eventually(
        async () => (await loggedLines(harness.logDir, of)).some((line) => line.includes(text)),
        `"${text}" in the log of ${of.id}`,
      )
    const find = async (runner: Runner, id: string): Promise<FoundInstance | undefined> =>
      (await runner.list()).find((instance) => instance.spec.id === id)

    it('starts a server that answers at its address, with its environment and PORT', async () => {
      const { runner } = harness
      const one = spec(['node', '-e', WEB], { listens: true, env: { NAME: 'one' } })
      const two = spec(['node', '-e', WEB], { listens: true, env: { NAME: 'two' } })
      const started = await Promise.all([runner.start(one), runner.start(two)])
      for (const [index, { state, address }] of started.entries()) {
        assert.equal(state, 'running')
        assert.ok(address)
        const said = await eventually(() => ask(address.host, address.port), 'an answer')
        assert.equal(said, `hello from ${index === 0 ? 'one' : 'two'}`)
      }
      const { address } = started[0]
      const ports = await runner.listeningPorts(one.id)
      assert.ok(address && ports.includes(address.port), `listens on ${ports.join()}`)
      const usage = await runner.usage(one.id)
      assert.ok(usage && usage.memoryBytes > 4 * MEBIBYTE && usage.cpuSeconds > 0)
      assert.ok(usage.pids >= 1)
      for (const { id } of [one, two]) {
        await runner.stop(id, { signal: 'SIGTERM', graceMs: 5000 })
        await runner.remove(id)
      }
      assert.deepEqual(await harness.leftovers(), [])
    })

    it('tells exit codes and signals apart', async () => {
      const { runner } = harness
      const cases = [
        { script: 'exit 0', code: 0, signal: null, reason: 'exited' },
        { script: 'exit 3', code: 3, signal: null, reason: 'exited' },
        { script: 'kill -9 $$; sleep 5', code: null, signal: 'SIGKILL', reason: 'killed' },
      ]
      for (const { script, ...expected } of cases) {
        // pid 1 of a container cannot kill itself: a child shell stands for the app there.
        const argv = script.startsWith('kill')
          ? ['sh', '-c', `sh -c '${script}'; exit $?`]
          : ['sh', '-c', script]
        const job = spec(argv, { kind: 'job' })
        await runner.start(job)
        const exit = await runner.waitForExit(job.id)
        const seen = exit && { code: exit.code, signal: exit.signal, reason: exit.reason }
        const shell = { code: 137, signal: null, reason: 'exited' }
        const either = script.startsWith('kill') && exit?.code === 137 ? shell : expected
        assert.deepEqual(seen, either, script)
        assert.equal((await find(runner, job.id))?.state, 'exited')
        assert.equal(await runner.usage(job.id), null)
        await runner.remove(job.id)
        assert.equal(await find(runner, job.id), undefined)
      }
    })

    it('says why a command cannot start, and leaves nothing', async () => {
      const { runner } = harness
      const wrong = spec(['no-such-program'])
      await assert.rejects(runner.start(wrong), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'INSTANCE_FAILED')
        assert.match(error.message, /no-such-program/)
        return true
      })
      await assert.rejects(runner.start(spec([])), { code: 'INSTANCE_FAILED' })
      assert.equal(await find(runner, wrong.id), undefined)
      assert.deepEqual(await harness.leftovers(), [])
    })

    it('is idempotent, and silent about ids that it does not know', async () => {
      const { runner } = harness
      const one = spec(['sleep', '100'])
      const [first, second] = await Promise.all([runner.start(one), runner.start(one)])
      assert.equal(first.startedAt, second.startedAt)
      assert.equal((await runner.list()).filter(({ spec: { id } }) => id === one.id).length, 1)
      await Promise.all([
        runner.stop(one.id, { signal: 'SIGTERM', graceMs: 2000 }),
        runner.stop(one.id, { signal: 'SIGTERM', graceMs: 2000 }),
      ])
      await Promise.all([runner.remove(one.id), runner.remove(one.id)])
      await runner.remove('web-9-unknown')
      await runner.stop('web-9-unknown', { signal: 'SIGTERM', graceMs: 10 })
      assert.equal(await runner.waitForExit('web-9-unknown'), null)
      assert.equal(await runner.usage('web-9-unknown'), null)
      assert.deepEqual(await runner.listeningPorts('web-9-unknown'), [])
      await assert.rejects(runner.exec('web-9-unknown', { argv: ['sh'], env: {}, tty: false }), {
        code: 'NOT_FOUND',
      })
    })

    it('ends at once what does not handle the signal, and lets finish what does', async () => {
      const { runner } = harness
      const plain = spec(['node', '-e', 'console.log("ready"); setInterval(() => {}, 1000)'])
      const polite = spec([
        'node',
        '-e',
        'process.on("SIGTERM", () => setTimeout(() => { console.log("bye"); process.exit(7) }, 100)); console.log("ready"); setInterval(() => {}, 1000)',
      ])
      for (const one of [plain, polite]) {
        await runner.start(one)
        await logged(one, 'ready')
      }
      const before = Date.now()
      await runner.stop(plain.id, { signal: 'SIGTERM', graceMs: 20_000 })
      assert.ok(Date.now() - before < 5000, 'an app without a handler waited for its grace period')
      assert.equal((await runner.waitForExit(plain.id))?.signal, 'SIGTERM')
      await runner.stop(polite.id, { signal: 'SIGTERM', graceMs: 20_000 })
      assert.equal((await runner.waitForExit(polite.id))?.code, 7)
      await logged(polite, 'bye')
      await Promise.all([runner.remove(plain.id), runner.remove(polite.id)])
    })

    it('kills what ignores the signal once its grace is over, and all its children', async () => {
      const { runner } = harness
      const script = `setsid sleep 1000 & sleep 1000 & ${STUBBORN}`
      const stubborn = spec(['sh', '-c', script.replace('setsid ', '')])
      await runner.start(stubborn)
      await logged(stubborn, 'ready')
      const before = Date.now()
      await runner.stop(stubborn.id, { signal: 'SIGTERM', graceMs: 300 })
      assert.ok(Date.now() - before >= 290, 'it was killed before its grace was over')
      const exit = await runner.waitForExit(stubborn.id)
      assert.equal(exit?.signal, 'SIGKILL')
      await runner.remove(stubborn.id)
      assert.deepEqual(await harness.leftovers(), [])
    })

    it('ends children that outlive their parent', async () => {
      const { runner } = harness
      const parent = spec(['sh', '-c', 'sleep 1000 & sleep 0.1; exit 5'])
      await runner.start(parent)
      assert.equal((await runner.waitForExit(parent.id))?.code, 5)
      await runner.remove(parent.id)
      assert.deepEqual(await harness.leftovers(), [])
    })

    it('writes both streams to the log, long and unfinished lines too', async () => {
      const { runner } = harness
      const long = 40_000
      const talker = spec([
        'node',
        '-e',
        `console.log('out'); console.error('err'); console.log('x'.repeat(${String(long)})); process.stdout.write('no end')`,
      ])
      await runner.start(talker)
      await runner.waitForExit(talker.id)
      await logged(talker, 'no end')
      const lines = await loggedLines(harness.logDir, talker)
      assert.ok(lines.includes('out') && lines.includes('err'))
      assert.equal(lines.filter((line) => /^x+$/.test(line)).join('').length, long)
      await runner.remove(talker.id)
      assert.ok((await loggedLines(harness.logDir, talker)).includes('out'), 'logs stay')
    })

    it('runs commands beside the instance', async () => {
      const { runner } = harness
      const one = spec(['sleep', '100'], { env: { GREETING: 'hello' } })
      await runner.start(one)
      const script = 'echo $GREETING; echo oops >&2; cat; exit 4'
      const result = await runIn(runner, one.id, ['sh', '-c', script], 'from stdin')
      assert.deepEqual(result, { code: 4, stdout: 'hello\nfrom stdin', stderr: 'oops\n' })
      const terminal = await runner.exec(one.id, {
        argv: [
          'sh',
          '-c',
          'test -t 0 && test -t 1 && echo a terminal; read answer; echo got $answer; exit 6',
        ],
        env: {},
        tty: true,
      })
      terminal.stdio.write('yes\n')
      const [text, exit] = await Promise.all([collect(terminal.stdio), terminal.exit])
      assert.match(text, /a terminal[\s\S]*got yes/)
      assert.equal(exit.code, 6)
      const missing = { argv: ['no-such-program', '-x'], env: {}, tty: false }
      await assert.rejects(runner.exec(one.id, missing), {
        code: 'COMMAND_FAILED',
        message: /no-such-program/,
      })
      const endless = await runner.exec(one.id, { argv: ['sleep', '1000'], env: {}, tty: false })
      await sleep(200)
      endless.kill()
      assert.equal((await endless.exit).code, null)
      await runner.stop(one.id, { signal: 'SIGKILL', graceMs: 0 })
      await assert.rejects(runner.exec(one.id, { argv: ['sh'], env: {}, tty: false }), {
        code: 'NOT_RUNNING',
      })
      await runner.remove(one.id)
    })

    it('finds its instances again after a restart, the ended ones with their exit', async () => {
      const { runner } = harness
      const lives = spec(['node', '-e', WEB], { listens: true, env: { NAME: 'survivor' } })
      const ends = spec(['sh', '-c', 'sleep 0.2; exit 9'])
      const found = await runner.start(lives)
      await runner.start(ends)
      const later = await harness.again()
      try {
        assert.equal((await later.waitForExit(ends.id))?.code, 9)
        assert.deepEqual(await find(later, lives.id), found)
        const { address } = found
        assert.ok(address)
        const said = await eventually(() => ask(address.host, address.port), 'an answer')
        assert.equal(said, 'hello from survivor')
        await later.stop(lives.id, { signal: 'SIGTERM', graceMs: 3000 })
        assert.equal((await later.waitForExit(lives.id))?.signal, 'SIGTERM')
        await Promise.all([later.remove(lives.id), later.remove(ends.id)])
        assert.deepEqual(await runner.list(), [])
      } finally {
        await later.close()
      }
    })

    it('introduces an instance before it runs, under an address that is its alone and stays', async () => {
      const { runner } = harness
      const sources: string[] = []
      const specs = [0, 1].map(() => spec(['sh', '-c', 'echo runs; sleep 100']))
      for (const one of specs) {
        const introduce = async (source: string): Promise<void> => {
          await sleep(50)
          assert.deepEqual(await loggedLines(harness.logDir, one), [])
          sources.push(source)
        }
        assert.equal((await runner.start(one, introduce)).source, sources.at(-1))
        await logged(one, 'runs')
      }
      assert.equal(new Set(sources).size, 2)
      const later = await harness.again()
      try {
        for (const [index, one] of specs.entries())
          assert.equal((await find(later, one.id))?.source, sources[index])
      } finally {
        await later.close()
      }
      for (const one of specs) await runner.remove(one.id)
    })

    privateCases(() => harness)

    it('stops waiting when told to', async () => {
      const { runner } = harness
      const one = spec(['sleep', '100'])
      await runner.start(one)
      const abort = new AbortController()
      const waiting = runner.waitForExit(one.id, abort.signal)
      abort.abort(new Error('enough'))
      await assert.rejects(waiting, /enough/)
      await runner.remove(one.id)
    })

    it('rotates the log of a flood, whose files stay bounded', async () => {
      const { runner } = harness
      const flood = spec([
        'node',
        '-e',
        'const line = "y".repeat(999) + "\\n"; const more = () => { while (process.stdout.write(line.repeat(100))); process.stdout.once("drain", more) }; more()',
      ])
      await runner.start(flood)
      const file = logFile(harness.logDir, flood)
      const names = async (): Promise<string[]> =>
        (await readdir(dirname(file))).filter((name) => name.startsWith(`${flood.id}.log`)).sort()
      await eventually(async () => (await names()).length === 3, 'two rotated files')
      await sleep(1000)
      await runner.stop(flood.id, { signal: 'SIGKILL', graceMs: 0 })
      // Stopped in the middle of a rotation, the current file may be the one that is missing.
      const expected = ['', '.1', '.2'].map((end) => `${flood.id}.log${end}`)
      assert.ok(
        (await names()).every((name) => expected.includes(name)),
        (await names()).join(),
      )
      // A rotation that was under way may still move what was listed a moment ago.
      let sizes: readonly number[] = []
      await eventually(async () => {
        const found = await Promise.all(
          (await names()).map((name) => stat(`${dirname(file)}/${name}`).catch(() => null)),
        )
        sizes = found.flatMap((one) => one?.size ?? [])
        return sizes.length === found.length
      }, 'nothing is moved any more')
      assert.ok(Math.max(...sizes) <= 48 * MEBIBYTE, sizes.join())
      await runner.remove(flood.id)
    })

    it('starts what it made ahead once asked, with what only the start brings', async () => {
      const { runner } = harness
      const script = 'echo "$(cat "$FAIRWAY_SECRETS/A") ran"; sleep 1000'
      const one = { ...spec(['sh', '-c', script]), privateFolders: ['secrets'] as const }
      const source = await runner.prepare(one)
      assert.equal(await find(runner, one.id), undefined)
      assert.equal(await runner.waitForExit(one.id), null)
      const files = new Map([['A', Secret.of('value')]])
      const late = sleep(50).then(() => ({ folders: [{ name: 'secrets', files }], env: new Map() }))
      const introduced: string[] = []
      const introduce = (address: string): Promise<void> => {
        introduced.push(address)
        return Promise.resolve()
      }
      const createdAt = one.createdAt + 1
      const started = await runner.start({ ...one, createdAt }, introduce, late as Promise<never>)
      assert.equal(started.spec.createdAt, createdAt)
      if (source !== null) assert.deepEqual([started.source, ...introduced], [source, source])
      await logged(one, 'value ran')
      assert.deepEqual(await find(runner, one.id), started)
      await runner.remove(one.id)
      assert.deepEqual(await harness.leftovers(), [])
    })

    it('what was made ahead of another spec is made anew', async () => {
      const { runner } = harness
      const before = spec(['sh', '-c', 'echo before; sleep 1000'])
      await runner.prepare(before)
      const after = { ...before, argv: ['sh', '-c', 'echo after; sleep 1000'] }
      await runner.start(after)
      await logged(after, 'after')
      assert.ok(!(await loggedLines(harness.logDir, after)).includes('before'))
      await runner.remove(after.id)
      assert.deepEqual(await harness.leftovers(), [])
    })

    it('writes its log also where that was tidied away before the start', async () => {
      const { runner } = harness
      const one = spec(['sh', '-c', 'echo ran; sleep 1000'])
      await runner.prepare(one)
      await rm(dirname(logFile(harness.logDir, one)), { recursive: true, force: true })
      await runner.start(one)
      await logged(one, 'ran')
      await runner.remove(one.id)
      assert.deepEqual(await harness.leftovers(), [])
    })

    it('nothing stays of what was made ahead and never started', async () => {
      const [removed, closed] = [spec(['sleep', '1000']), spec(['sleep', '1000'])]
      await harness.runner.prepare(removed)
      await harness.runner.remove(removed.id)
      const later = await harness.again()
      await later.prepare(closed)
      await later.close()
      assert.deepEqual(await harness.leftovers(), [])
      for (const { id } of [removed, closed])
        await assert.rejects(readFile(logFile(harness.logDir, { ...removed, id })), /ENOENT/)
    })

    it('a start that a kill cut off is done by whoever starts the instance again, and its command runs once', async () => {
      const [program = '', ...args] = harness.victim
      for (const afterMs of [3, 15, 40, 80, 150]) {
        const spec = onceSpec(harness.image, `web-1-once${String(afterMs)}`)
        const server = await startProgram(program, [...args, spec.id], {
          env: { PATH: process.env['PATH'] ?? '' },
          stdio: ['ignore', 'pipe', 'inherit'],
        })
        await new Promise((ready) => server.stdout?.once('data', ready))
        await sleep(afterMs)
        server.kill('SIGKILL')
        const next = await harness.again()
        try {
          await next.start(spec, undefined, ONCE_GIVEN)
          const exit = await next.waitForExit(spec.id)
          assert.equal(exit?.code, 0, `killed after ${String(afterMs)} ms`)
          const log = await readFile(logFile(harness.logDir, spec), 'utf8')
          assert.equal(log.match(/ran$/gm)?.length, 1, `killed after ${String(afterMs)} ms`)
          await next.remove(spec.id)
        } finally {
          await next.close()
        }
      }
    })

    it('may be looked at while an instance starts, ends and goes', async () => {
      const { runner } = harness
      for (let round = 0; round < 12; round++) {
        const one = spec(['sh', '-c', 'sleep 1000'])
        const { id } = one
        const looks = new AbortController()
        const looking = [
          () => runner.usage(id),
          () => runner.list(),
          () => runner.listeningPorts(id),
          () => runner.privatePath(id, 'secrets'),
        ].flatMap((look) => [repeated(look, looks.signal), repeated(look, looks.signal)])
        const watched = Promise.all(looking)
        await Promise.race([watched, runner.start(one)])
        const waiting = runner.waitForExit(id)
        await Promise.race([watched, runner.stop(id, { signal: 'SIGKILL', graceMs: 0 })])
        await Promise.race([watched, runner.remove(id)])
        looks.abort()
        await Promise.all([watched, waiting])
        assert.deepEqual(await harness.leftovers(), [])
      }
    })

    it('leaves nothing that list and remove cannot find when the server is killed at any moment', async () => {
      for (const afterMs of [5, 60, 130, 240]) {
        const [program = '', ...args] = harness.victim
        const server = await startProgram(program, args, {
          env: { PATH: process.env['PATH'] ?? '' },
          stdio: ['ignore', 'pipe', 'inherit'],
        })
        const { promise, resolve } = Promise.withResolvers<undefined>()
        server.stdout?.once('data', () => resolve(undefined))
        await promise
        await sleep(afterMs)
        server.kill('SIGKILL')
        const later = await harness.again()
        try {
          for (const { spec: left } of await later.list()) await later.remove(left.id)
          assert.deepEqual(await later.list(), [])
          assert.deepEqual(await harness.leftovers(), [], `killed after ${String(afterMs)} ms`)
        } finally {
          await later.close()
        }
      }
    })
  })
}

/** Until told to stop; what fails is thrown. */
async function repeated(look: () => Promise<unknown>, until: AbortSignal): Promise<void> {
  while (!until.aborted) await look()
}

/** Prints once and ends; the same for whoever starts it again. */
export function onceSpec(image: ImageFacts, id: string): InstanceSpec {
  return {
    ...sampleSpec(image, ['sh', '-c', 'echo ran; sleep 0.1'], { kind: 'job' }),
    ...payloadNames(ONCE_GIVEN),
    id,
  }
}

/** What it is started with: also the files of a start that was cut off go. */
export const ONCE_GIVEN: InstancePayload = {
  folders: [{ name: 'secrets', files: new Map([['A', Secret.of('1')]]) }],
  env: new Map([['TOKEN', Secret.of('2')]]),
}

/** What a TCP server says, or null where none answers. */
export function ask(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect({ host, port, timeout: 2000 })
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.on('error', () => resolve(null))
    socket.on('timeout', () => {
      socket.destroy()
      resolve(null)
    })
    socket.on('close', () => resolve(text === '' ? null : text))
  })
}
