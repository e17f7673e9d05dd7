import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { executableInRoot, pathInRoot } from './path-in-root.ts'

let root: string
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'fairway-root-'))
  await mkdir(join(root, 'usr/bin'), { recursive: true })
  await writeFile(join(root, 'usr/bin/app'), '', { mode: 0o755 })
  await writeFile(join(root, 'usr/bin/text'), '', { mode: 0o644 })
  await symlink('/usr/bin', join(root, 'bin'))
  await symlink('../../../../../../usr/bin/app', join(root, 'usr/climber'))
  await symlink('/etc/passwd', join(root, 'usr/outside'))
  await symlink('loop', join(root, 'loop'))
})
after(() => rm(root, { recursive: true }))

test('links are followed as a process inside would, never into the host', async () => {
  assert.equal(await pathInRoot(root, '/bin/app'), join(root, 'usr/bin/app'))
  assert.equal(await pathInRoot(root, '/usr/climber'), join(root, 'usr/bin/app'))
  assert.equal(await pathInRoot(root, '/../../usr/../bin/app'), join(root, 'usr/bin/app'))
  assert.equal(await pathInRoot(root, '/usr/outside'), null)
  assert.equal(await pathInRoot(root, '/loop'), null)
  assert.equal(await pathInRoot(root, '/usr/bin/app/more'), null)
})

test('commands are found by PATH, by folder, and only where they may be executed', async () => {
  const at = { path: '/nowhere:/bin', cwd: '/usr' }
  assert.equal(await executableInRoot(root, 'app', at), '/bin/app')
  assert.equal(await executableInRoot(root, 'bin/app', at), '/usr/bin/app')
  assert.equal(await executableInRoot(root, 'text', at), null)
  assert.equal(await executableInRoot(root, '/usr/bin', at), null)
})
