import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { imageUser } from './image-user.ts'

let folder: string
let layers: string[]
const mapped = { userNamespace: true }
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fairway-user-'))
  layers = ['top', 'base'].map((name) => join(folder, name))
  await mkdir(join(folder, 'top/app'), { recursive: true })
  await mkdir(join(folder, 'base/etc'), { recursive: true })
  await writeFile(
    join(folder, 'base/etc/passwd'),
    'root:x:0:0::/:/bin/sh\nweb:x:101:102::/:/bin/sh\n',
  )
  await writeFile(join(folder, 'base/etc/group'), 'root:x:0:\nweb:x:102:\nlogs:x:7:web,other\n')
})
after(() => rm(folder, { recursive: true }))

test('names and numbers of the image’s own files', async () => {
  assert.deepEqual(await imageUser('web', layers, mapped), { uid: 101, gid: 102, groups: [7] })
  assert.deepEqual(await imageUser('101', layers, mapped), { uid: 101, gid: 102, groups: [7] })
  assert.deepEqual(await imageUser('web:logs', layers, mapped), { uid: 101, gid: 7, groups: [] })
  assert.deepEqual(await imageUser('5:6', layers, mapped), { uid: 5, gid: 6, groups: [] })
  await assert.rejects(imageUser('nobody', layers, mapped), { code: 'INSTANCE_FAILED' })
  await assert.rejects(imageUser('web:nogroup', layers, mapped), { code: 'INSTANCE_FAILED' })
})

test('nobody named is root only where root inside is nobody outside', async () => {
  assert.equal((await imageUser('', layers, mapped)).uid, 0)
  assert.equal((await imageUser('', layers, { userNamespace: false })).uid, 65_532)
})

test('a link in place of the passwd file is not followed into the host', async () => {
  const evil = join(folder, 'evil')
  await mkdir(join(evil, 'etc'), { recursive: true })
  await symlink('/etc/passwd', join(evil, 'etc/passwd'))
  await assert.rejects(imageUser('daemon', [evil], mapped), { code: 'INSTANCE_FAILED' })
})
