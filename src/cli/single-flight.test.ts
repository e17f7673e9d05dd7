import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { minimalEnv, run } from '../lib/process.ts'
import { singleFlight } from './single-flight.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fairway-flight-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const found = (): string | null =>
  existsSync(join(folder, 'made')) ? readFileSync(join(folder, 'made'), 'utf8') : null

test('of many processes one makes it', async () => {
  const module = resolve(import.meta.dirname, 'single-flight.ts')
  const clock = resolve(import.meta.dirname, '../lib/clock.ts')
  const script = join(folder, 'want.ts')
  await writeFile(
    script,
    `import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
     import { singleFlight } from ${JSON.stringify(module)}
     import { systemClock } from ${JSON.stringify(clock)}
     const made = ${JSON.stringify(join(folder, 'made'))}
     const got = await singleFlight({
       lock: made + '.lock', clock: systemClock,
       find: () => existsSync(made) ? readFileSync(made, 'utf8') : null,
       make: async () => {
         appendFileSync(made + '.count', '.')
         await systemClock.sleep(300)
         writeFileSync(made + '.new', 'it')
         renameSync(made + '.new', made)
         return 'it'
       },
     })
     process.stdout.write(got)`,
  )
  const all = await Promise.all(
    Array.from({ length: 5 }, () => run(process.execPath, [script], { env: minimalEnv() })),
  )
  assert.deepEqual(
    all,
    Array.from({ length: 5 }, () => 'it'),
  )
  assert.equal(await readFile(join(folder, 'made.count'), 'utf8'), '.')
  assert.equal(existsSync(join(folder, 'made.lock')), false)
})

test('a lock of a process that ended holds nobody up', async () => {
  const lock = join(folder, 'made.lock')
  await writeFile(
    lock,
    JSON.stringify({ pid: process.pid, startedAs: 'another that had this pid' }),
  )
  const make = (): Promise<string> => Promise.resolve('it')
  assert.equal(await singleFlight({ lock, clock: systemClock, find: found, make }), 'it')
})

test('whoever fails gives the lock back', async () => {
  const lock = join(folder, 'made.lock')
  const make = (): Promise<string> => Promise.reject(new Error('no'))
  await assert.rejects(singleFlight({ lock, clock: systemClock, find: found, make }), /no/)
  assert.equal(existsSync(lock), false)
})

test('a lock that is held for good ends the wait', async () => {
  const lock = join(folder, 'made.lock')
  const make = async (): Promise<string> => {
    const wait = { lock, clock: systemClock, find: found, waitMs: 50 }
    const inner = singleFlight({ ...wait, make: () => Promise.resolve('never') })
    await assert.rejects(inner, { code: 'TIMEOUT' })
    return 'outer'
  }
  assert.equal(await singleFlight({ lock, clock: systemClock, find: found, make }), 'outer')
})
