import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import { systemClock } from '../lib/clock.ts'
import type { LogQuery, LogReader } from '../model/logs.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseProcessName,
  type AppRef,
} from '../model/names.ts'
import type { LogLine } from '../model/runner.ts'
import { createLogReader } from './log-reader.ts'

const root = await mkdtemp(join(tmpdir(), 'fairway-logs-'))
after(() => rm(root, { recursive: true, force: true }))
const ref: AppRef = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
const never = new AbortController().signal
const T0 = Date.parse('2026-01-01T00:00:00Z')
let count = 0

async function setUp(options: { readonly appBudget?: number } = {}) {
  count++
  const logDir = join(root, String(count))
  const folder = join(logDir, 'shop', 'production')
  await mkdir(folder, { recursive: true })
  return { logDir, folder, logs: createLogReader({ logDir, clock: systemClock, ...options }) }
}

function line(second: number, text: string, stream = 'stdout', tag = 'F'): string {
  return `${new Date(T0 + second * 1000).toISOString().replace('.000Z', '.123456789Z')} ${stream} ${tag} ${text}\n`
}

async function read(logs: LogReader, query: Partial<LogQuery> = {}): Promise<LogLine[]> {
  const lines: LogLine[] = []
  for await (const each of logs.read(ref, { limit: 100, follow: false, ...query }, never))
    lines.push(each)
  return lines
}

async function texts(logs: LogReader, query: Partial<LogQuery> = {}): Promise<string[]> {
  return (await read(logs, query)).map(({ text }) => text)
}

test('lines of all instances are merged by time and say whose they are', async () => {
  const { folder, logs } = await setUp()
  await writeFile(join(folder, 'web-1-aaaa.log'), line(1, 'one') + line(3, 'three', 'stderr'))
  await writeFile(join(folder, 'my-worker-12-bbbb.log.1'), line(0, 'zero'))
  await writeFile(join(folder, 'my-worker-12-bbbb.log'), line(2, 'two') + line(4, 'four'))
  assert.deepEqual(await texts(logs), ['zero', 'one', 'two', 'three', 'four'])
  const [, , two, three] = await read(logs)
  assert.deepEqual(two, {
    time: T0 + 2123,
    stream: 'stdout',
    text: 'two',
    instance: 'my-worker-12-bbbb',
    process: 'my-worker',
    release: 12,
  })
  assert.equal(three?.stream, 'stderr')
  assert.deepEqual(await texts(logs, { limit: 2 }), ['three', 'four'])
  assert.deepEqual(await texts(logs, { limit: 0 }), [])
  assert.deepEqual(await texts(logs, { process: 'web' }), ['one', 'three'])
  assert.deepEqual(await texts(logs, { instance: 'my-worker-12-bbbb', grep: 'o' }), [
    'zero',
    'two',
    'four',
  ])
  assert.deepEqual(await texts(logs, { since: T0 + 2123 }), ['two', 'three', 'four'])
  assert.deepEqual(
    (await logs.tail(ref, 'web-1-aaaa', 1)).map(({ text }) => text),
    ['three'],
  )
  assert.deepEqual(await texts(createLogReader({ logDir: '/nowhere', clock: systemClock })), [])
})

test('parts of long lines are joined, across streams and split characters, up to 16 KB', async () => {
  const { folder, logs } = await setUp()
  const euro = Buffer.from('€')
  await writeFile(
    join(folder, 'web-1-aaaa.log'),
    Buffer.concat([
      Buffer.from(line(1, 'before') + line(2, 'a', 'stdout', 'P') + line(2, 'err', 'stderr')),
      Buffer.from(line(3, '', 'stdout', 'P').trimEnd() + ' '),
      euro.subarray(0, 2),
      Buffer.from('\n' + line(4, '', 'stdout').trimEnd() + ' '),
      euro.subarray(2),
      Buffer.from('\n' + line(5, 'x'.repeat(16_000), 'stdout', 'P') + line(6, 'y'.repeat(1000))),
      Buffer.from(line(7, 'no end', 'stdout', 'P')),
    ]),
  )
  const found = await texts(logs)
  assert.deepEqual(found.slice(0, 3).sort(), ['a€', 'before', 'err'])
  assert.deepEqual(
    found.slice(3).map((text) => [text.slice(0, 6), text.length]),
    [
      ['xxxxxx', 16_000],
      ['yyyyyy', 1000],
      ['no end', 6],
    ],
  )
})

test('lines that are no log lines are shown, unfinished ones wait', async () => {
  const { folder, logs } = await setUp()
  await writeFile(
    join(folder, 'web-1-aaaa.log'),
    `${line(1, 'one')}garbage \u0000\n\n${line(2, 'two')}2026-01-01T0`,
  )
  assert.deepEqual(await texts(logs), ['one', 'garbage \u0000', '', 'two'])
})

test(
  'the end of a big file is read without reading the file',
  { skip: !existsSync('/proc/self/io') && 'needs /proc/self/io' },
  async () => {
    const { folder, logs } = await setUp()
    const big = Buffer.concat([
      Buffer.from(`${'x'.repeat(1000)}\n`.repeat(32_000)),
      Buffer.from(line(1, 'one') + line(2, 'two')),
    ])
    await writeFile(join(folder, 'web-1-aaaa.log'), big)
    const before = await bytesRead()
    assert.deepEqual(await texts(logs, { limit: 2 }), ['one', 'two'])
    assert.ok((await bytesRead()) - before < 1 << 20)
  },
)

/** Bytes that this process has asked the kernel to read, from any file. */
async function bytesRead(): Promise<number> {
  return Number(/^rchar: (\d+)/m.exec(await readFile('/proc/self/io', 'utf8'))?.[1])
}

test('reading backwards gives the same lines as were written, whatever their lengths', async () => {
  const { folder, logs } = await setUp()
  const path = join(folder, 'web-1-aaaa.log')
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 15_000 }), { maxLength: 40 }),
      async (lengths) => {
        const written = lengths.map((length, i) => `${i}:${'é'.repeat(length / 2)}`)
        await writeFile(path, written.map((text, i) => line(i, text)).join(''))
        assert.deepEqual(await texts(logs), written)
      },
    ),
    { numRuns: 30 },
  )
})

test(
  'following: history, new lines, rotation, new instances, notes, and an end',
  { timeout: 20_000 },
  async () => {
    const { folder, logs } = await setUp()
    const path = join(folder, 'web-1-aaaa.log')
    await writeFile(path, line(1, 'skipped') + line(2, 'history') + line(3, 'half').slice(0, -3))
    const stop = new AbortController()
    const seen: string[] = []
    const done = (async () => {
      for await (const each of logs.read(ref, { limit: 1, follow: true }, stop.signal))
        seen.push(each.text)
    })()
    const until = async (text: string): Promise<void> => {
      const deadline = Date.now() + 5000
      while (!seen.includes(text)) {
        assert.ok(Date.now() < deadline, `waiting for ${text}, seen ${seen.join(', ')}`)
        await systemClock.sleep(5)
      }
    }
    await until('history')
    await appendFile(path, 'lf\n' + line(4, 'new'))
    await until('new')
    // Rotation by a writer that goes on with the old file for a while.
    await rename(path, `${path}.1`)
    await appendFile(`${path}.1`, line(5, 'after rename'))
    await until('after rename')
    await writeFile(path, line(6, 'in the new file'))
    await appendFile(`${path}.1`, line(7, 'late'))
    await until('in the new file')
    await writeFile(join(folder, 'web-2-bbbb.log'), line(8, 'second instance'))
    await until('second instance')
    await until('late')
    const web = { id: 'web-2-bbbb', ref, process: parseProcessName('web'), release: 2 }
    await logs.note(web, 'out of memory,\nlimit 128 MiB', T0 + 9123)
    await until('out of memory, limit 128 MiB')
    await appendFile(path, line(10, 'last words') + line(11, 'cut', 'stdout', 'P'))
    stop.abort()
    await done
    assert.deepEqual(seen, [
      'history',
      'half',
      'new',
      'after rename',
      'in the new file',
      ...seen.slice(5, 7),
      'out of memory, limit 128 MiB',
      'last words',
      'cut',
    ])
    assert.deepEqual(seen.slice(5, 7).sort(), ['late', 'second instance'])
  },
)

test('following an app that has no logs yet', { timeout: 20_000 }, async () => {
  const { logDir, logs } = await setUp()
  await rm(join(logDir, 'shop'), { recursive: true })
  const stop = new AbortController()
  const lines = logs
    .read(ref, { limit: 10, follow: true, grep: 'wanted' }, stop.signal)
    [Symbol.asyncIterator]()
  const first: Promise<IteratorResult<LogLine, unknown>> = lines.next()
  const web = { id: 'web-1-aaaa', ref, process: parseProcessName('web'), release: 1 }
  await logs.note(web, 'other', T0)
  await logs.note(web, 'wanted', T0)
  const result = await first
  assert.ok(result.done !== true)
  assert.deepEqual([result.value.text, result.value.stream], ['wanted', 'platform'])
  stop.abort()
  assert.equal((await lines.next()).done, true)
})

test(
  'nothing is lost or doubled between history and following while a writer writes',
  { timeout: 20_000 },
  async () => {
    const { folder, logs } = await setUp()
    const path = join(folder, 'web-1-aaaa.log')
    const total = 3000
    await writeFile(path, '')
    const seen: number[] = []
    const writing = (async () => {
      for (let i = 0; i < total; i++) {
        if (i % 500 === 499) {
          // What is rotated away twice is gone, for readers too: none that keeps up loses anything.
          while ((seen.at(-1) ?? -1) < i - 500) await setTimeout(1)
          await rename(path, `${path}.1`)
          await writeFile(path, '')
        }
        await appendFile(path, line(i, String(i)))
      }
    })()
    const stop = new AbortController()
    for await (const each of logs.read(ref, { limit: 1_000_000, follow: true }, stop.signal)) {
      seen.push(Number(each.text))
      if (each.text === String(total - 1)) stop.abort()
    }
    await writing
    const first = seen[0] ?? 0
    assert.deepEqual(
      seen,
      Array.from({ length: total - first }, (_, i) => first + i),
    )
  },
)

test('collecting frees what is old or over the budget, never what runs', async () => {
  const { logDir, folder, logs } = await setUp({ appBudget: 250 })
  const write = async (name: string, ageMs: number): Promise<void> => {
    await writeFile(join(folder, name), 'x'.repeat(100))
    const at = (Date.now() - ageMs) / 1000
    await utimes(join(folder, name), at, at)
  }
  await write('web-1-old.log', 100_000)
  await write('web-1-runs.log', 100_000)
  await write('web-1-runs.log.1', 100_000)
  await write('web-2-c.log', 30_000)
  await write('web-2-b.log', 20_000)
  await write('web-2-a.log', 10_000)
  await write('web-2-a.notes', 10_000)
  assert.equal(await logs.collect(new Set(['web-1-runs']), 50_000), 300)
  assert.deepEqual((await readdir(folder)).sort(), [
    'web-1-runs.log',
    'web-1-runs.log.1',
    'web-2-a.log',
    'web-2-a.notes',
  ])
  assert.equal(await logs.collect(new Set(), 0), 400)
  assert.deepEqual(await readdir(logDir), [])
  await logs.deleteApp(ref)
})
