import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock as clock } from '../lib/clock.ts'
import { isMissing } from '../lib/missing-file.ts'
import { identify, type ProcessIdentity } from '../lib/process-identity.ts'
import { run, start } from '../lib/process.ts'
import { passExecFifo } from './exec-fifo.ts'

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fairway-fifo-'))
})
after(() => rm(folder, { recursive: true, force: true }))

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: unknown) => {
      if (isMissing(error)) return false
      throw error
    },
  )

/** A program that does to the pipe what the init of a container does, after a while. */
async function writer(script: string, path: string) {
  const child = await start('sh', ['-c', script, path], {
    env: { PATH: '/usr/bin:/bin' },
    stdio: 'ignore',
  })
  const ended = once(child, 'exit')
  const init = await identify(child.pid ?? 0)
  assert.ok(init)
  return { init, ended }
}

test('reads the byte that the init writes, removes the pipe, and the init goes on', async () => {
  const path = join(folder, 'late')
  await run('mkfifo', [path])
  const { init, ended } = await writer('sleep 0.1; printf 0 > "$0"', path)
  assert.equal(await passExecFifo({ path, init, clock }), true)
  assert.equal(await exists(path), false)
  assert.deepEqual((await ended) as unknown, [0, null])
})

test('an init that waits for a reader already is let go', async () => {
  const path = join(folder, 'waiting')
  await run('mkfifo', [path])
  const { init, ended } = await writer('exec 3> "$0"; sleep 0.05; printf 0 >&3', path)
  assert.equal(await passExecFifo({ path, init, clock }), true)
  assert.deepEqual((await ended) as unknown, [0, null])
})

test('a byte that came between the last look and the end of the init counts', async () => {
  const path = join(folder, 'short')
  await run('mkfifo', [path])
  const init: ProcessIdentity = {
    startedAs: 'before us',
    // Read right before the init is looked up, and found gone.
    get pid() {
      writeFileSync(path, '0')
      return process.pid
    },
  }
  assert.equal(await passExecFifo({ path, init, clock }), true)
  assert.equal(await exists(path), false)
})

test('leaves everything as it is where the init has ended', async () => {
  const path = join(folder, 'dead')
  await run('mkfifo', [path])
  const { init, ended } = await writer('exec sleep 60', path)
  process.kill(init.pid)
  await ended
  assert.equal(await passExecFifo({ path, init, clock }), false)
  assert.equal(await exists(path), true)
})

test('another runtime has no such pipe', async () => {
  const init = await identify(process.pid)
  assert.ok(init)
  assert.equal(await passExecFifo({ path: join(folder, 'none'), init, clock }), false)
})
