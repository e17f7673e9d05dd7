import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import type { Clock } from '../model/clock.ts'
import type { Cgroup } from './cgroup.ts'
import { lostExit } from './exit.ts'
import { InstanceFolder } from './instance-folder.ts'

let root = ''
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'fairway-exit-'))
})
after(() => rm(root, { recursive: true, force: true }))

const cgroup = { oomKills: () => Promise.resolve(0) } as unknown as Cgroup

/** An instance that has ended, whose monitor lives: it is this process. */
async function ended(id: string): Promise<InstanceFolder> {
  const folder = new InstanceFolder({ dataDir: join(root, 'data'), runDir: root, id })
  await mkdir(folder.exitDir, { recursive: true })
  await mkdir(folder.data, { recursive: true })
  await folder.createRun()
  await writeFile(folder.conmonPid, String(process.pid))
  return folder
}

/** Does something at the sleep of that number, and sleeps for no time at all. */
function clockWith(number: number, what: () => Promise<void>): Clock {
  let slept = 0
  const sleep = async (): Promise<void> => {
    slept += 1
    if (slept === number) await what()
  }
  return { ...systemClock, sleep }
}

test('an exit that the monitor writes late, on a machine that does much else, is the one that is told', async () => {
  const folder = await ended('web-1-late')
  const clock = clockWith(300, () => writeFile(join(folder.exitDir, folder.id), '3'))
  const { code, reason } = await lostExit({ folder, cgroup, clock }, true)
  assert.deepEqual([code, reason], [3, 'exited'])
  assert.equal((await folder.exit())?.code, 3)
})

test('a monitor that never writes is not waited for for ever', async () => {
  const folder = await ended('web-1-never')
  const clock = clockWith(0, () => Promise.resolve())
  const { code, reason } = await lostExit({ folder, cgroup, clock }, true)
  assert.deepEqual([code, reason], [null, 'unknown'])
})
