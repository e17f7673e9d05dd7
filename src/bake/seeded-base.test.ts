import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLog } from '../lib/log.ts'
import { ImageStore } from '../oci/image-store.ts'
import { BaseRecord } from './base-record.ts'
import { BASE_LIST, baseList } from './platform-image.ts'
import { seedBase } from './seeded-base.ts'

const bytes = (text: string): { readonly bytes: Buffer } => ({ bytes: Buffer.from(text) })

test('a server makes the base that it runs on again, byte for byte, and none of a changed one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-seed-'))
  try {
    const made = await ImageStore.open({ root: join(folder, 'made') })
    const layer = await made.addLayer([
      { type: 'directory', path: 'home/nonroot', mode: 0o755, uid: 65_532, gid: 65_532 },
      { type: 'directory', path: 'tmp', mode: 0o1777 },
      { type: 'file', path: 'etc/hosts', mode: 0o644, content: bytes('127.0.0.1 localhost\n') },
      { type: 'file', path: 'usr/lib/libc.so.6', mode: 0o755, content: bytes('ELF') },
      { type: 'symlink', path: 'lib', target: 'usr/lib' },
    ])
    const list = await baseList(made, { layer, created: true })
    const digest = await made.addImage({ layers: [layer], config: {} })
    const root = join(folder, 'root')
    const [lower = ''] = await made.lowerDirs(digest)
    await cp(lower, root, { recursive: true, verbatimSymlinks: true })
    await mkdir(join(root, 'app'))
    assert.ok(list.type === 'file' && 'bytes' in list.content)
    await writeFile(join(root, BASE_LIST), list.content.bytes)
    // What the kubelet does.
    await writeFile(join(root, 'etc/hosts'), '10.0.0.1 pod\n')

    const seed = async (name: string): Promise<string | null> => {
      const images = await ImageStore.open({ root: join(folder, name) })
      const cacheDir = join(folder, `${name}-cache`)
      await seedBase({
        images,
        cacheDir,
        now: () => 1,
        log: silentLog,
        root,
        architecture: 'amd64',
      })
      const record = join(cacheDir, 'bases/node24-amd64.json')
      const text = await readFile(record, 'utf8').catch(() => null)
      if (text === null) return null
      const key = BaseRecord.parse(text)?.key ?? ''
      return (await images.findLayer(key))?.diffId ?? ''
    }
    assert.equal(await seed('same'), layer.diffId)
    await writeFile(join(root, 'usr/lib/libc.so.6'), 'other')
    assert.equal(await seed('changed'), null)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
