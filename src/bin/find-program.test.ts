import assert from 'node:assert/strict'
import { mkdtemp, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { minimalEnv, start } from '../lib/process.ts'
import { identify } from '../lib/process-identity.ts'
import { eventually } from '../../test/fakes/router-bed.ts'
import { runningProgram, stopInBackground } from './background-program.ts'

const skip = process.platform === 'linux' ? false : 'needs /proc'
let root = ''
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'fairway-find-'))
  await writeFile(join(root, 'server.ts'), 'setInterval(() => undefined, 1000)')
  for (const name of ['data', 'copy'])
    await mkdir(join(root, name, 'programs'), { recursive: true })
  await symlink(join(root, 'data'), join(root, 'link'))
})
after(() => rm(root, { recursive: true, force: true }))

test('a server is found though its pid file is lost, damaged or a copy', { skip }, async () => {
  const folder = join(root, 'data/programs')
  const server = { name: 'server', folder } as const
  const child = await start(process.execPath, [join(root, 'server.ts')], {
    env: { ...minimalEnv(), FAIRWAY_DATA_DIR: join(root, 'data') },
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  try {
    await eventually(async () => (await runningProgram(server))?.pid === child.pid)
    await writeFile(join(folder, 'server.pid'), 'garbage')
    assert.equal((await runningProgram(server))?.pid, child.pid)
    assert.equal(
      (await runningProgram({ ...server, folder: join(root, 'link/programs') }))?.pid,
      child.pid,
    )
    const record = JSON.stringify(await identify(child.pid ?? 0))
    await writeFile(join(root, 'copy/programs/server.pid'), record)
    const copy = { name: 'server', folder: join(root, 'copy/programs') } as const
    assert.equal(await runningProgram(copy), null)
    assert.equal(await stopInBackground(copy, 1000), false)
    assert.equal(await runningProgram({ ...server, name: 'router' }), null)
    assert.equal(await stopInBackground(server, 5000), true)
    assert.equal(await runningProgram(server), null)
  } finally {
    child.kill('SIGKILL')
  }
})
