import assert from 'node:assert/strict'
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  mkdirSync,
  existsSync,
  lstatSync,
  readlinkSync,
  linkSync,
  symlinkSync,
  cpSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { minimalEnv, runToEnd, start } from '../lib/process.ts'
import { sha256, type Digest } from './digest.ts'
import { ImageStore } from './image-store.ts'
import type { LayerEntry } from './layer-entry.ts'
import type { StoredLayer } from './layer-record.ts'
import { encodeHeader, paddingOf } from './tar-header.ts'

const scratch = mkdtempSync(join(tmpdir(), 'fairway-images-'))
after(() => rmSync(scratch, { recursive: true, force: true }))
let count = 0
const isRoot = process.getuid?.() === 0
const DAY = 86_400_000

function newFolder(): string {
  count += 1
  return join(scratch, String(count))
}

const file = (path: string, text: string, mode = 0o644): LayerEntry => ({
  type: 'file',
  path,
  mode,
  content: { bytes: Buffer.from(text) },
})

async function tarList(store: ImageStore, layer: StoredLayer): Promise<string> {
  // Times are those of the zone that the machine is set to, unless told otherwise.
  const env = { ...minimalEnv(), TZ: 'UTC' }
  const args = ['--numeric-owner', '-tvzf', store.blobs.path(layer.digest)]
  const { code, stdout, stderr } = await runToEnd('tar', args, { env })
  assert.equal(code, 0, stderr)
  return stdout
}

test('the layer is what tar reads, and the tree is what the layer says', async () => {
  const root = newFolder()
  const store = await ImageStore.open({ root })
  const long = `${'deep/'.repeat(30)}${'n'.repeat(120)}`
  const layer = await store.addLayer([
    file('b/x', 'hello', 0o755),
    { type: 'symlink', path: 'b/l', target: '../b/x' },
    { type: 'directory', path: 'empty', mode: 0o700, uid: 3, gid: 4 },
    file(long, 'long'),
    file('späß', 'utf8'),
  ])
  assert.equal(layer.created, true)
  const blob = readFileSync(store.blobs.path(layer.digest))
  assert.equal(sha256(blob), layer.digest)
  assert.equal(blob.length, layer.size)
  assert.equal(blob[9], 0xff)
  assert.equal(sha256(gunzipSync(blob)), layer.diffId)
  const list = await tarList(store, layer)
  assert.match(list, /drwxr-xr-x 0\/0 .* b\/\n/)
  assert.match(list, /-rwxr-xr-x 0\/0 +5 1970-01-01 00:00 b\/x\n/)
  assert.match(list, /lrwxrwxrwx 0\/0 .* b\/l -> \.\.\/b\/x\n/)
  assert.match(list, /drwx------ 3\/4 .* empty\/\n/)
  assert.ok(list.includes(long))
  const digest = await store.addImage({ layers: [layer], config: { cmd: ['b/x'] } })
  const [tree = ''] = await store.lowerDirs(digest)
  assert.equal(readFileSync(join(tree, 'b/x'), 'utf8'), 'hello')
  assert.equal(readlinkSync(join(tree, 'b/l')), '../b/x')
  assert.equal(statSync(join(tree, 'b/x')).mode & 0o7777, 0o755)
  assert.equal(statSync(join(tree, 'b/x')).mtimeMs, 0)
  assert.equal(statSync(join(tree, 'empty')).mode & 0o7777, 0o700)
})

test('order of entries does not matter; equal content is stored once', async () => {
  const store = await ImageStore.open({ root: newFolder() })
  const entries = [
    file('a/1', 'x'),
    file('a-b', 'y'),
    file('a/b/2', 'z'),
    { type: 'directory', path: 'a' } as const,
  ]
  const first = await store.addLayer(entries)
  const again = await store.addLayer([...entries].reverse())
  assert.deepEqual({ ...again, created: true }, first)
  assert.equal(again.created, false)
  const other = await ImageStore.open({ root: newFolder() })
  assert.equal((await other.addLayer(entries)).digest, first.digest)
})

test('any tree survives tar and gzip, in segments of any number', async () => {
  const name = fc.stringMatching(/^[a-zA-Z0-9 äß_-]{1,20}$/)
  const tree = fc.dictionary(name, fc.uint8Array({ maxLength: 3000 }), {
    minKeys: 1,
    maxKeys: 8,
    noNullPrototype: true,
  })
  const store = await ImageStore.open({ root: newFolder() })
  await fc.assert(
    fc.asyncProperty(tree, async (files) => {
      const entries = Object.entries(files).map(([path, bytes]): LayerEntry => ({
        type: 'file',
        path,
        mode: 0o644,
        content: { bytes },
      }))
      const layer = await store.addLayer(entries)
      const [dir = ''] = await store.lowerDirs(
        await store.addImage({ layers: [layer], config: {} }),
      )
      assert.deepEqual(readdirSync(dir).sort(), Object.keys(files).sort())
      for (const [path, bytes] of Object.entries(files))
        assert.deepEqual(readFileSync(join(dir, path)), Buffer.from(bytes))
      assert.equal(sha256(gunzipSync(readFileSync(store.blobs.path(layer.digest)))), layer.diffId)
    }),
    { numRuns: 25 },
  )
})

test('a layer of several segments is one gzip member that others read', async () => {
  const store = await ImageStore.open({ root: newFolder() })
  const big = Buffer.alloc(5 << 20, 'some text that repeats; ')
  const layer = await store.addLayer([
    { type: 'file', path: 'big', mode: 0o644, content: { bytes: big } },
  ])
  const { code } = await runToEnd('gzip', ['-t'], {
    input: readFileSync(store.blobs.path(layer.digest)),
  })
  assert.equal(code, 0)
  assert.equal(sha256(gunzipSync(readFileSync(store.blobs.path(layer.digest)))), layer.diffId)
})

test('bad entries are refused by name', async () => {
  const store = await ImageStore.open({ root: newFolder() })
  for (const path of [
    '/etc',
    '../x',
    'a/../b',
    './a',
    'a//b',
    'a/',
    '',
    'a\0b',
    '.wh.x',
    'a/.wh..wh..opq',
  ]) {
    await assert.rejects(store.addLayer([file(path, '')]), { code: 'INVALID_REQUEST' }, path)
  }
  await assert.rejects(store.addLayer([file('a', ''), file('a', '')]), { message: /twice/ })
  await assert.rejects(store.addLayer([file('a', ''), file('a/b', '')]), { message: /below/ })
})

test(
  'unpacked files get the owner that the mapping says',
  { skip: !isRoot && 'needs root' },
  async () => {
    const store = await ImageStore.open({ root: newFolder(), ownerOffset: 200_000 })
    const layer = await store.addLayer([
      { ...file('f', 'x', 0o4755), uid: 10, gid: 20 },
      { type: 'symlink', path: 'l', target: 'f', uid: 10 },
    ])
    const [dir = ''] = await store.lowerDirs(await store.addImage({ layers: [layer], config: {} }))
    const { uid, gid, mode } = lstatSync(join(dir, 'f'))
    assert.deepEqual(
      { uid, gid, mode: mode & 0o7777 },
      { uid: 200_010, gid: 200_020, mode: 0o4755 },
    )
    assert.equal(lstatSync(join(dir, 'l')).uid, 200_010)
    assert.equal(lstatSync(dir).uid, 200_000)
    await assert.rejects(store.addLayer([{ ...file('f', 'x'), uid: 70_000 }]), { message: /70000/ })
  },
)

test('two at once make one layer', async () => {
  const store = await ImageStore.open({ root: newFolder() })
  const made = await Promise.all(
    Array.from({ length: 6 }, () => store.addLayer([file('a', 'same')], { key: 'k' })),
  )
  assert.equal(made.filter(({ created }) => created).length, 1)
  assert.equal(new Set(made.map(({ digest }) => digest)).size, 1)
  assert.equal((await store.findLayer('k'))?.digest, made[0]?.digest)
})

test('findLayer: null for an unknown key and for a layer that lost its tree', async () => {
  const root = newFolder()
  const store = await ImageStore.open({ root })
  assert.equal(await store.findLayer('k'), null)
  const layer = await store.addLayer([file('a', '1')], { key: 'k' })
  assert.deepEqual(await store.findLayer('k'), {
    diffId: layer.diffId,
    digest: layer.digest,
    size: layer.size,
    mediaType: layer.mediaType,
  })
  rmSync(join(root, 'layers', layer.diffId.slice(7)), { recursive: true })
  assert.equal(await store.findLayer('k'), null)
  assert.equal((await store.addLayer([file('a', '1')], { key: 'k' })).created, true)
  assert.notEqual(await store.findLayer('k'), null)
})

test('killed at any moment: nothing or a complete layer, and the rest is swept', async () => {
  const root = newFolder()
  const here = join(import.meta.dirname, 'image-store.ts')
  const script = `import { ImageStore } from ${JSON.stringify(here)}
    const store = await ImageStore.open({ root: ${JSON.stringify(root)} })
    process.stdout.write('go')
    for (let i = 0; ; i += 1) await store.addLayer(Array.from({ length: 40 }, (_, n) => ({ type: 'file', path: 'd' + n + '/f', mode: 0o644, content: { bytes: Buffer.from(i + ' ' + n) } })), { key: String(i) })`
  for (const wait of [0, 30, 90]) {
    const child = await start(process.execPath, ['--input-type=module', '-e', script], {
      env: {},
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    await new Promise((resolve) => setTimeout(resolve, wait))
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
    const store = await ImageStore.open({ root })
    assert.deepEqual(readdirSync(join(root, 'tmp')), [])
    for (const name of readdirSync(join(root, 'layers')))
      assert.equal(readdirSync(join(root, 'layers', name)).length, 40)
    for (let i = 0; ; i += 1) {
      const layer = await store.findLayer(String(i))
      if (layer === null) break
      assert.equal(sha256(readFileSync(store.blobs.path(layer.digest))), layer.digest)
    }
  }
})

test('the same input makes the same image; a base is inherited', async () => {
  const store = await ImageStore.open({ root: newFolder() })
  const base = await store.addLayer([file('etc/os-release', 'ID=x')])
  const app = await store.addLayer([file('app/main', 'x')])
  const config = {
    env: { B: '2', A: '1' },
    entrypoint: ['/app/main'],
    exposedPorts: [8080],
    labels: { z: '1', a: '2' },
    architecture: 'amd64',
  }
  const first = await store.addImage({ layers: [base, app], config })
  assert.equal(
    await store.addImage({ layers: [base, app], config: { ...config, env: { A: '1', B: '2' } } }),
    first,
  )
  const below = await store.addImage({
    layers: [base],
    config: { cmd: ['sh'], env: { PATH: '/bin', A: '0' }, user: '5', architecture: 'amd64' },
  })
  const top = await store.addImage({ base: below, layers: [app], config })
  const image = await store.image(top)
  assert.deepEqual(image?.config.env, ['PATH=/bin', 'A=1', 'B=2'])
  assert.deepEqual(image.config.cmd, [])
  assert.equal(image.config.user, '5')
  assert.deepEqual(image.config.exposedPorts, ['8080/tcp'])
  assert.deepEqual(
    image.layers.map(({ diffId }) => diffId),
    [base.diffId, app.diffId],
  )
  assert.equal((await store.lowerDirs(top)).length, 2)
  assert.ok((await store.lowerDirs(top))[0]?.includes(app.diffId.slice(7)))
  assert.equal(await store.image(sha256('nothing')), null)
  await assert.rejects(store.addImage({ base: sha256('nothing'), layers: [], config }), {
    code: 'NOT_FOUND',
  })
})

test('collect keeps what it should and frees the rest', async () => {
  const root = newFolder()
  let now = Date.now()
  const store = await ImageStore.open({ root, now: () => now })
  const shared = await store.addLayer([file('shared', 's')], { key: 'shared' })
  const [one, two, three] = [
    await store.addLayer([file('f', '1')]),
    await store.addLayer([file('f', '2')]),
    await store.addLayer([file('f', '3')]),
  ]
  const add = async (layer: StoredLayer): Promise<Digest> =>
    await store.addImage({ layers: [shared, layer], config: {} })
  const [kept, tagged, lost] = [await add(one), await add(two), await add(three)]
  await store.tag('team/app', 'v1', tagged)
  assert.deepEqual(await store.collect(new Set([kept]), DAY), { images: 0, bytes: 0 })
  now += 2 * DAY
  const { images, bytes } = await store.collect(new Set([kept]), DAY)
  assert.equal(images, 1)
  assert.ok(bytes > three.size)
  assert.equal(await store.image(lost), null)
  assert.equal(existsSync(join(root, 'layers', three.diffId.slice(7))), false)
  for (const digest of [kept, tagged]) assert.equal((await store.lowerDirs(digest)).length, 2)
  assert.equal(await store.resolve('team/app', 'v1'), tagged)
  await store.repositories.deleteTag('team/app', 'v1')
  await store.collect(new Set([kept]), 0, now + 1)
  assert.equal(await store.resolve('team/app', 'v1'), null)
  assert.equal(await store.image(tagged), null)
  assert.equal((await store.lowerDirs(kept)).length, 2)
  assert.deepEqual(readdirSync(join(root, 'tmp')), [])
})

test('collect never takes a layer that is being used again', async () => {
  const store = await ImageStore.open({ root: newFolder() })
  const collecting = (async (): Promise<void> => {
    for (let i = 0; i < 10; i += 1) await store.collect(new Set(), 60_000)
  })()
  for (let i = 0; i < 10; i += 1) {
    const layer = await store.addLayer([file('f', String(i % 3))], { key: String(i % 3) })
    const digest = await store.addImage({ layers: [layer], config: {} })
    assert.equal((await store.lowerDirs(digest)).length, 1)
  }
  await collecting
})

// Layouts and archives

interface LayoutOptions {
  readonly tar?: Buffer
  readonly mediaType?: string
  readonly compress?: (tar: Buffer) => Buffer
  readonly diffId?: string
}

function tarFile(entries: readonly (readonly [string, string])[]): Buffer {
  const parts = entries.flatMap(([path, text]) => [
    encodeHeader({
      typeflag: '0',
      path,
      linkpath: '',
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: text.length,
      mtime: 0,
    }),
    Buffer.from(text),
    Buffer.alloc(paddingOf(text.length)),
  ])
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

const OCI = 'application/vnd.oci.image'

function writeLayout(layers: readonly LayoutOptions[]): string {
  const folder = newFolder()
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
  const put = (bytes: Buffer): { digest: string; size: number } => {
    writeFileSync(join(folder, 'blobs/sha256', sha256(bytes).slice(7)), bytes)
    return { digest: sha256(bytes), size: bytes.length }
  }
  const made = layers.map(
    ({
      tar = tarFile([['f', 'x']]),
      mediaType = `${OCI}.layer.v1.tar+gzip`,
      compress = gzipSync,
      diffId = sha256(tar),
    }) => ({ mediaType, diffId, ...put(compress(tar)) }),
  )
  const config = put(
    Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: made.map(({ diffId }) => diffId) },
      }),
    ),
  )
  const manifest = put(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: `${OCI}.manifest.v1+json`,
        config: { mediaType: `${OCI}.config.v1+json`, ...config },
        layers: made.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
      }),
    ),
  )
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(
    join(folder, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        {
          mediaType: `${OCI}.manifest.v1+json`,
          ...manifest,
          annotations: { 'org.opencontainers.image.ref.name': 'v1' },
        },
      ],
    }),
  )
  return folder
}

test('layouts: every codec, by tag or alone; whiteouts are flattened', async () => {
  const store = await ImageStore.open({ root: newFolder() })
  const folder = writeLayout([
    {
      tar: tarFile([
        ['etc/a', '1'],
        ['etc/b', '2'],
      ]),
    },
    {
      tar: tarFile([
        ['etc/.wh.a', ''],
        ['etc/c', '3'],
      ]),
      mediaType: `${OCI}.layer.v1.tar`,
      compress: (tar) => tar,
    },
    {
      tar: tarFile([['etc/d', '4']]),
      mediaType: `${OCI}.layer.v1.tar+zstd`,
      compress: (tar) => zstdCompressSync(tar),
    },
  ])
  const digest = await store.importLayout(folder, 'v1')
  assert.equal(await store.importLayout(folder), digest)
  const dirs = await store.lowerDirs(digest)
  assert.equal(dirs.length, 2)
  assert.deepEqual(readdirSync(join(dirs[1] ?? '', 'etc')).sort(), ['b', 'c'])
  assert.deepEqual(readdirSync(join(dirs[0] ?? '', 'etc')), ['d'])
  assert.equal(statSync(join(dirs[0] ?? '', 'etc')).mode & 0o777, 0o755)
  await assert.rejects(store.importLayout(folder, 'v2'), { code: 'NOT_FOUND', message: /v1/ })
})

test('every blob of a layout is checked: a byte more, a byte less, another byte', async () => {
  const folder = writeLayout([{}])
  for (const name of readdirSync(join(folder, 'blobs/sha256'))) {
    for (const change of [
      (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.from('\n')]),
      (bytes: Buffer): Buffer => bytes.subarray(1),
      (bytes: Buffer): Buffer => Buffer.from(bytes).fill(0x20, 5, 6),
    ]) {
      const copy = newFolder()
      cpSync(folder, copy, { recursive: true })
      const path = join(copy, 'blobs/sha256', name)
      writeFileSync(path, change(readFileSync(path)))
      const root = newFolder()
      const store = await ImageStore.open({ root })
      await assert.rejects(store.importLayout(copy), { code: 'DIGEST_MISMATCH' })
      assert.deepEqual(readdirSync(join(root, 'records/images')), [])
      assert.deepEqual(readdirSync(join(root, 'tmp')), [])
    }
  }
})

test('hostile layouts: wrong diffID, bytes after gzip, bombs, links out, confusion', async () => {
  const store = await ImageStore.open({ root: newFolder() })
  const refused = async (layout: string, code: string): Promise<void> => {
    await assert.rejects(store.importLayout(layout), { code })
  }
  await refused(writeLayout([{ diffId: sha256('other') }]), 'DIGEST_MISMATCH')
  await refused(
    writeLayout([{ compress: (tar) => Buffer.concat([gzipSync(tar), Buffer.from('junk')]) }]),
    'INVALID_IMAGE',
  )
  await refused(
    writeLayout([{ compress: (tar) => gzipSync(tar).subarray(0, -20) }]),
    'INVALID_IMAGE',
  )
  await refused(writeLayout([{ tar: tarFile([['../../etc/passwd', 'x']]) }]), 'INVALID_IMAGE')
  await refused(writeLayout([{ mediaType: 'application/x-unknown' }]), 'INVALID_IMAGE')
  const linked = writeLayout([{}])
  const [blob = ''] = readdirSync(join(linked, 'blobs/sha256'))
  rmSync(join(linked, 'blobs/sha256', blob))
  symlinkSync('/etc/passwd', join(linked, 'blobs/sha256', blob))
  await refused(linked, 'INVALID_IMAGE')
  const confused = writeLayout([{}])
  const index = readFileSync(join(confused, 'index.json'), 'utf8')
  writeFileSync(join(confused, 'index.json'), index.replace('{', '{"layers":[],'))
  await refused(confused, 'INVALID_IMAGE')
  writeFileSync(join(confused, 'index.json'), index.replace('{', '{"schemaVersion":2,'))
  await refused(confused, 'INVALID_IMAGE')
})

test('archives: OCI and docker save, plain and gzip, and hostile ones', async () => {
  const store = await ImageStore.open({ root: newFolder() })
  const layout = writeLayout([{ tar: tarFile([['f', 'x']]) }])
  const archive = join(scratch, 'oci.tar.gz')
  assert.equal((await runToEnd('tar', ['-C', layout, '-czf', archive, '.'])).code, 0)
  const digest = await store.importArchive(archive)
  assert.equal(digest, await store.importLayout(layout))

  const saved = newFolder()
  mkdirSync(join(saved, 'one'), { recursive: true })
  mkdirSync(join(saved, 'two'))
  const tar = tarFile([['f', 'x']])
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [sha256(tar), sha256(tar)] },
  })
  const name = `${sha256(config).slice(7)}.json`
  writeFileSync(join(saved, name), config)
  writeFileSync(join(saved, 'one/layer.tar'), tar)
  symlinkSync('../one/layer.tar', join(saved, 'two/layer.tar'))
  writeFileSync(
    join(saved, 'manifest.json'),
    JSON.stringify([
      { Config: name, RepoTags: ['x:1'], Layers: ['one/layer.tar', 'two/layer.tar'] },
    ]),
  )
  const docker = join(scratch, 'docker.tar')
  assert.equal((await runToEnd('tar', ['-C', saved, '-cf', docker, '.'])).code, 0)
  const image = await store.image(await store.importArchive(docker))
  assert.equal(image?.manifest.config.digest, sha256(config))
  assert.equal(image.layers.length, 2)

  rmSync(join(saved, 'two/layer.tar'))
  symlinkSync('/etc/passwd', join(saved, 'two/layer.tar'))
  assert.equal((await runToEnd('tar', ['-C', saved, '-cf', docker, '.'])).code, 0)
  await assert.rejects(store.importArchive(docker), { code: 'INVALID_IMAGE' })
  rmSync(join(saved, 'two/layer.tar'))
  linkSync(join(saved, 'manifest.json'), join(saved, 'two/layer.tar'))
  assert.equal((await runToEnd('tar', ['-C', saved, '-cf', docker, '.'])).code, 0)
  await assert.rejects(store.importArchive(docker))
  writeFileSync(join(scratch, 'empty.tar'), Buffer.alloc(1024))
  await assert.rejects(store.importArchive(join(scratch, 'empty.tar')), { code: 'INVALID_IMAGE' })
})

test('a path through a symlink of a layer below is followed; a folder with an entry replaces it', async () => {
  const store = await ImageStore.open({ root: newFolder() })
  const base = await store.addLayer([
    file('usr/lib/a', '1'),
    { type: 'symlink', path: 'lib', target: 'usr/lib' },
  ])
  const own = await store.addLayer([file('lib/b', '2')])
  const replaced = await store.addImage({ layers: [base, own], config: {} })
  assert.equal((await store.lowerDirs(replaced)).length, 2)
  const top = writeLayout([{ tar: tarFile([['lib/b', '2']]) }])
  const foreign = await store.image(await store.importLayout(top))
  const [through] = foreign?.layers ?? []
  assert.ok(through !== undefined)
  const dirs = await store.lowerDirs(await store.addImage({ layers: [base, through], config: {} }))
  assert.equal(dirs.length, 1)
  assert.deepEqual(readdirSync(join(dirs[0] ?? '', 'usr/lib')).sort(), ['a', 'b'])
})
