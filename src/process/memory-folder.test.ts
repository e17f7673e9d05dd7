import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { runToEnd } from '../lib/process.ts'
import { Secret, type InstancePayload, type PrivateFolder } from '../model/secrets.ts'
import { MemoryFolder } from './memory-folder.ts'

const folder = (values: Readonly<Record<string, string>>): PrivateFolder => ({
  name: 'secrets',
  files: new Map(Object.entries(values).map(([name, value]) => [name, Secret.of(value)])),
})
const payload = (values: Readonly<Record<string, string>>): InstancePayload => ({
  folders: [folder(values)],
  env: new Map(),
})
const linux = process.platform === 'linux' ? false : 'needs a tmpfs'

describe('a folder in memory of plain processes', { skip: linux }, () => {
  let place: string
  beforeEach(async () => {
    place = await mkdtemp('/dev/shm/fairway-test-')
  })
  afterEach(async () => {
    await rm(place, { recursive: true, force: true })
  })

  it('is never a disk', async () => {
    const disk = await mkdtemp(join(tmpdir(), 'fairway-disk-'))
    try {
      const none = new MemoryFolder('/data', [disk, '/nowhere'])
      await assert.rejects(none.create('web-1-a', payload({ A: 'planted' })), {
        code: 'RUNNER_UNAVAILABLE',
        message: /no folder in memory/,
      })
      assert.deepEqual(await readdir(disk), [])
    } finally {
      await rm(disk, { recursive: true, force: true })
    }
  })

  it('is not written to where somebody else could read or has taken its name', async () => {
    const memory = new MemoryFolder('/data', [place])
    await memory.create('web-1-a', payload({ A: '1' }))
    const [name = ''] = await readdir(place)
    await chmod(join(place, name), 0o755)
    await assert.rejects(memory.create('web-1-b', payload({ A: '1' })), {
      code: 'RUNNER_UNAVAILABLE',
    })
    await rm(join(place, name), { recursive: true })
    await mkdir(join(place, 'elsewhere'))
    await symlink('elsewhere', join(place, name))
    await assert.rejects(memory.create('web-1-c', payload({ A: '1' })), {
      code: 'RUNNER_UNAVAILABLE',
    })
    const { stdout } = await runToEnd('find', [join(place, 'elsewhere'), '-type', 'f'])
    assert.equal(stdout, '')
  })

  it('keeps the old files where memory is full, says so without values, and is gone after', async (test) => {
    const small = join(place, 'small')
    await mkdir(small)
    const mounted = await runToEnd('mount', [
      '-t',
      'tmpfs',
      '-o',
      'size=64k',
      'fairway-test',
      small,
    ])
    if (mounted.code !== 0) {
      test.skip(`cannot mount: ${mounted.stderr.trim()}`)
      return
    }
    try {
      const memory = new MemoryFolder('/data', [small])
      await memory.create('web-1-a', payload({ A: 'old' }))
      const large = folder({ A: 'planted'.repeat(20_000) })
      await assert.rejects(memory.swap('web-1-a', large), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'DISK_FULL')
        assert.ok(!error.message.includes('planted'))
        return true
      })
      const path = await memory.path('web-1-a', 'secrets')
      assert.equal(await readFile(join(path ?? '', 'A'), 'utf8'), 'old')
      await memory.remove('web-1-a')
      assert.deepEqual(await readdir(small), [])
    } finally {
      await runToEnd('umount', [small])
    }
  })
})
