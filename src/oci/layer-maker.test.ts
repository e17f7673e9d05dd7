import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { sha256 } from './digest.ts'
import { ImageStore } from './image-store.ts'
import type { LayerEntry } from './layer-entry.ts'

const scratch = mkdtempSync(join(tmpdir(), 'fairway-layers-'))
after(() => rmSync(scratch, { recursive: true, force: true }))
let count = 0
const isRoot = process.getuid?.() === 0

function newFolder(): string {
  count += 1
  return join(scratch, String(count))
}

test('sources: copied or linked, refused where they changed or are symlinks', async () => {
  const root = newFolder()
  const store = await ImageStore.open({ root })
  const source = newFolder()
  mkdirSync(source)
  const path = join(source, 'f')
  writeFileSync(path, 'content')
  chmodSync(path, 0o640)
  const entry = (size: number, from = path, link?: 'private'): LayerEntry => ({
    type: 'file',
    path: 'f',
    mode: 0o644,
    content: { file: from, size, ...(link === undefined ? {} : { link }) },
  })
  const copied = await store.addLayer([entry(7)])
  assert.equal(statSync(path).nlink, 1)
  assert.equal(statSync(path).mode & 0o777, 0o640)
  await assert.rejects(store.addLayer([entry(6)]), { code: 'INVALID_REQUEST' })
  symlinkSync(path, join(source, 'l'))
  await assert.rejects(store.addLayer([entry(7, join(source, 'l'))]), { code: 'INVALID_REQUEST' })
  const linked = await (
    await ImageStore.open({ root: newFolder() })
  ).addLayer([entry(7, path, 'private')])
  assert.equal(linked.digest, copied.digest)
  assert.equal(statSync(path).nlink, 2)
  assert.equal(statSync(path).mode & 0o777, 0o644)
  // The second name may be a package manager's cache, which goes on using the file.
  await (await ImageStore.open({ root: newFolder() })).addLayer([entry(7, path, 'private')])
  assert.equal(statSync(path).nlink, 2)
  assert.deepEqual(readdirSync(join(root, 'tmp')), [])
})

test(
  'immutable sources are linked into every layer that needs the same owner, mode and time',
  isRoot ? {} : { skip: 'needs root' },
  async () => {
    const root = newFolder()
    const store = await ImageStore.open({ root, ownerOffset: 100_000 })
    const source = newFolder()
    mkdirSync(source)
    const path = join(source, 'f')
    writeFileSync(path, 'content')
    const entry = (name: string, mode: number): LayerEntry => ({
      type: 'file',
      path: name,
      mode,
      content: { file: path, size: 7, link: 'immutable' },
    })
    const first = await store.addLayer([entry('a', 0o644), entry('b', 0o644)])
    await store.addLayer([entry('other', 0o644)])
    assert.equal(statSync(path).nlink, 4)
    const { uid, mode, mtimeMs } = statSync(path)
    assert.deepEqual([uid, mode & 0o7777, mtimeMs], [100_000, 0o644, 0])
    const program = await store.addLayer([entry('a', 0o755)])
    assert.equal(statSync(path).nlink, 4)
    assert.equal(statSync(path).mode & 0o7777, 0o644)
    const tree = (layer: { diffId: string }): string => join(root, 'layers', layer.diffId.slice(7))
    assert.equal(statSync(join(tree(program), 'a')).mode & 0o7777, 0o755)
    assert.equal(statSync(join(tree(first), 'a')).mode & 0o7777, 0o644)
  },
)

test('many segments: the blob holds exactly the bytes that the diffID names', async () => {
  const store = await ImageStore.open({ root: newFolder() })
  const noise = Buffer.concat(
    Array.from({ length: 20_000 }, (_, at) => createHash('sha512').update(String(at)).digest()),
  )
  // Segments that compress well and others that do not, a megabyte each: compressed at once, written over soon.
  const entries = Array.from({ length: 12 }, (_, at): LayerEntry => {
    const bytes = at % 2 === 0 ? noise : Buffer.alloc(1_300_000, `text ${at} `)
    return { type: 'file', path: `f${at}`, mode: 0o644, content: { bytes } }
  })
  const layer = await store.addLayer(entries, { level: 1 })
  const tar = gunzipSync(readFileSync(store.blobs.path(layer.digest)))
  assert.equal(sha256(tar), layer.diffId)
  assert.ok(tar.length > 12 * 1_280_000)
})
