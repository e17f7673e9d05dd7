import assert from 'node:assert/strict'
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  readdirSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { LayerApplier, type AppliedFacts } from './layer-applier.ts'
import { encodeHeader, paddingOf } from './tar-header.ts'
import { TarReader } from './tar-reader.ts'
import { TreeWriter } from './tree-writer.ts'

const scratch = mkdtempSync(join(tmpdir(), 'fairway-layers-'))
after(() => {
  makeRemovable(scratch)
  rmSync(scratch, { recursive: true, force: true })
})

/** Some layers hold folders that only root could empty. */
function makeRemovable(folder: string): void {
  chmodSync(folder, 0o700)
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) makeRemovable(join(folder, entry.name))
  }
}

let count = 0

type Item =
  | readonly ['file', string, string?, number?]
  | readonly ['dir', string, number?]
  | readonly ['symlink' | 'link', string, string]

function header(item: Item): Buffer {
  const base = { uid: 0, gid: 0, mtime: 5, size: 0, linkpath: '' }
  switch (item[0]) {
    case 'file':
      return encodeHeader({
        ...base,
        typeflag: '0',
        path: item[1],
        mode: item[3] ?? 0o644,
        size: Buffer.byteLength(item[2] ?? ''),
      })
    case 'dir':
      return encodeHeader({ ...base, typeflag: '5', path: item[1], mode: item[2] ?? 0o755 })
    case 'symlink':
      return encodeHeader({ ...base, typeflag: '2', path: item[1], linkpath: item[2], mode: 0o777 })
    case 'link':
      return encodeHeader({ ...base, typeflag: '1', path: item[1], linkpath: item[2], mode: 0o644 })
  }
}

async function* tarOf(items: readonly Item[]): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
  for (const item of items) {
    yield header(item)
    if (item[0] !== 'file') continue
    const body = Buffer.from(item[2] ?? '')
    yield Buffer.concat([body, Buffer.alloc(paddingOf(body.length))])
  }
  yield Buffer.alloc(1024)
}

interface Applied {
  readonly root: string
  readonly outside: string
  readonly facts: readonly AppliedFacts[]
}

/** Applies layers into <case>/root beside <case>/outside/secret, which nothing may touch. */
async function apply(layers: readonly (readonly Item[])[], alone = false): Promise<Applied> {
  count += 1
  const base = join(scratch, String(count))
  const outside = join(base, 'outside')
  mkdirSync(outside, { recursive: true })
  writeFileSync(join(outside, 'secret'), 'untouched', { mode: 0o600 })
  const root = join(base, 'root')
  const applier = new LayerApplier(new TreeWriter(root, { offset: 0, change: false }))
  const facts: AppliedFacts[] = []
  try {
    for (const items of layers)
      facts.push(await applier.apply(new TarReader(tarOf(items)), { alone }))
    await applier.end()
  } finally {
    assert.deepEqual(readdirSync(outside), ['secret'])
    assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'untouched')
    assert.equal(lstatSync(join(outside, 'secret')).mode & 0o7777, 0o600)
    assert.equal(lstatSync(join(outside, 'secret')).nlink, 1)
    assert.deepEqual(readdirSync(base).sort(), ['outside', 'root'])
  }
  return { root, outside, facts }
}

/** Node's recursive listing also looks through symlinks to folders. */
function listing(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => !path.startsWith('dir/'))
    .sort()
}

const INVALID = { code: 'INVALID_IMAGE' }

/** After containerd's TestBreakouts and umoci's tar_extract_test: links may lead anywhere, writing through them stays inside. */
const STAYS_INSIDE: Readonly<Record<string, readonly Item[]>> = {
  'symlink, absolute': [
    ['symlink', 'localetc', '/outside'],
    ['file', 'localetc/secret', 'x'],
  ],
  'symlink, up and out': [
    ['symlink', 'localetc', '../outside'],
    ['file', 'localetc/secret', 'x'],
  ],
  'symlink, far up': [
    ['symlink', 'a', '../../../../../../../../tmp'],
    ['file', 'a/x', 'x'],
  ],
  'symlink, through several absolute ones': [
    ['symlink', 'a', '/b'],
    ['symlink', 'b', '/../outside'],
    ['file', 'a/secret', 'x'],
  ],
  'symlink, through several relative ones': [
    ['symlink', 'a', 'b'],
    ['symlink', 'b', '../outside'],
    ['file', 'a/secret', 'x'],
  ],
  'symlink to the parent': [
    ['symlink', 'a', '..'],
    ['file', 'a/outside/secret', 'x'],
  ],
  'symlink to the root': [
    ['symlink', 'a', '/'],
    ['file', 'a/outside/secret', 'x'],
  ],
  'symlink replaced by a folder': [
    ['symlink', 'a', '../outside'],
    ['dir', 'a'],
    ['file', 'a/secret', 'x'],
  ],
  'symlink whose target is written': [
    ['symlink', 'a', '../outside/secret'],
    ['file', 'a', 'x'],
  ],
  'chmod through a symlink': [
    ['symlink', 'a', '../outside/secret'],
    ['file', 'a', 'x', 0o777],
  ],
  'folder over a symlink to a folder': [
    ['symlink', 'a', '../outside'],
    ['dir', 'a', 0o777],
  ],
  'hard link to a symlink, then written': [
    ['symlink', 'a', '../outside/secret'],
    ['link', 'b', 'a'],
    ['file', 'b', 'x'],
  ],
  'absolute path': [['file', '/outside/secret', 'x']],
  'file as a parent': [
    ['file', 'a', 'x'],
    ['file', 'a/b', 'y'],
  ],
}
for (const [name, items] of Object.entries(STAYS_INSIDE)) {
  test(`stays inside: ${name}`, async () => {
    await apply([items])
    await apply(items.map((item) => [item]))
    await apply([items], true)
  })
}

const REFUSED: Readonly<Record<string, readonly Item[]>> = {
  'dot dot': [['file', '../outside/secret', 'x']],
  'dot dot in the middle': [
    ['dir', 'a'],
    ['file', 'a/../../outside/secret', 'x'],
  ],
  'only dot dot': [['dir', '..']],
  'slash dot dot': [['dir', '/..']],
  'hard link, up and out': [['link', 'a', '../outside/secret']],
  'hard link, absolute': [['link', 'a', '/outside/secret']],
  'hard link through a symlink': [
    ['symlink', 'a', '../outside'],
    ['link', 'b', 'a/secret'],
  ],
  'hard link to a folder': [
    ['dir', 'a'],
    ['link', 'b', 'a'],
  ],
  'hard link to nothing': [['link', 'a', 'dne']],
  'symlink loop': [
    ['symlink', 'a', 'b'],
    ['symlink', 'b', 'a'],
    ['file', 'a/x', 'x'],
  ],
  'whiteout of nothing': [['file', '.wh.']],
  'whiteout of dot': [['file', '.wh..']],
  'whiteout of dot dot': [['file', '.wh...']],
  'whiteout of dot dot below': [
    ['dir', 'etc'],
    ['file', 'etc/.wh...'],
  ],
  'whiteout of dot below': [
    ['dir', 'etc'],
    ['file', 'etc/.wh..'],
  ],
  'whiteout through dot dot': [['file', 'dne/../.wh.etc']],
  'folder named like a whiteout': [['file', '.wh.etc/somefile', 'x']],
  'whiteout that is a symlink': [['symlink', '.wh.etc', 'x']],
  'whiteout that is a folder': [['dir', '.wh.etc']],
}
for (const [name, items] of Object.entries(REFUSED)) {
  test(`refused: ${name}`, async () => {
    await assert.rejects(
      apply([
        [
          ['dir', 'etc'],
          ['file', 'etc/passwd', 'p'],
        ],
        items,
      ]),
      INVALID,
    )
  })
}

const BASE: readonly Item[] = [
  ['dir', 'etc'],
  ['file', 'etc/passwd', 'root'],
  ['file', 'etc/group', 'root'],
  ['symlink', 'link', 'etc/passwd'],
  ['symlink', 'dir', 'etc'],
  ['symlink', 'dead', 'dne/dne'],
]

test('a whiteout removes the file, the link and not its target, and whole folders', async () => {
  const one = await apply([
    BASE,
    [
      ['file', 'etc/.wh.passwd'],
      ['file', '.wh.link'],
      ['file', '.wh.dne'],
    ],
  ])
  assert.deepEqual(listing(one.root), ['dead', 'dir', 'etc', 'etc/group'])
  const two = await apply([BASE, [['file', '.wh.etc']]])
  assert.deepEqual(listing(two.root), ['dead', 'dir', 'link'])
  const through = await apply([
    BASE,
    [
      ['file', 'dir/.wh.passwd'],
      ['file', 'dead/.wh.x'],
    ],
  ])
  assert.deepEqual(listing(through.root), ['dead', 'dir', 'etc', 'etc/group', 'link'])
})

test('a whiteout hides lower layers only, wherever it stands', async () => {
  const after = await apply([
    BASE,
    [
      ['file', 'etc/passwd', 'new'],
      ['file', 'etc/.wh.passwd'],
    ],
  ])
  assert.equal(readFileSync(join(after.root, 'etc/passwd'), 'utf8'), 'new')
  const before = await apply([
    BASE,
    [
      ['file', 'etc/.wh.passwd'],
      ['file', 'etc/passwd', 'new'],
    ],
  ])
  assert.equal(readFileSync(join(before.root, 'etc/passwd'), 'utf8'), 'new')
})

test('an opaque whiteout hides all lower children, before or after new ones', async () => {
  for (const items of [
    [
      ['file', 'etc/new', 'n'],
      ['file', 'etc/.wh..wh..opq'],
    ],
    [
      ['file', 'etc/.wh..wh..opq'],
      ['file', 'etc/new', 'n'],
    ],
    [
      ['file', 'etc/sub/new', 'n'],
      ['file', '.wh.etc'],
    ],
  ] as const satisfies Item[][]) {
    const { root } = await apply([
      BASE,
      [
        ['dir', 'etc/sub'],
        ['file', 'etc/sub/old', 'o'],
      ],
      items,
    ])
    assert.deepEqual(
      listing(root).filter((path) => path.startsWith('etc/')),
      items[1][1] === '.wh.etc' ? ['etc/sub', 'etc/sub/new'] : ['etc/new'],
    )
  }
})

test('folders keep their children and take new attributes; modes and times are set last', async () => {
  const { root } = await apply([
    BASE,
    [
      ['dir', 'etc', 0o555],
      ['file', 'etc/x', 'x', 0o4755],
    ],
  ])
  assert.equal(lstatSync(join(root, 'etc')).mode & 0o7777, 0o555)
  assert.equal(lstatSync(join(root, 'etc')).mtimeMs, 5000)
  assert.equal(lstatSync(join(root, 'etc/x')).mode & 0o7777, 0o4755)
  assert.equal(readFileSync(join(root, 'etc/passwd'), 'utf8'), 'root')
})

test('a path through a symlink of a lower layer lands where it leads', async () => {
  const { root } = await apply([
    [
      ['dir', 'usr/lib'],
      ['symlink', 'lib', 'usr/lib'],
    ],
    [['file', 'lib/x', 'x']],
  ])
  assert.equal(readlinkSync(join(root, 'lib')), 'usr/lib')
  assert.equal(readFileSync(join(root, 'usr/lib/x'), 'utf8'), 'x')
})

test('alone, whiteouts and links into other layers make a layer not stackable', async () => {
  const facts = async (items: readonly Item[]): Promise<boolean | undefined> =>
    (await apply([items], true)).facts[0]?.stackable
  assert.equal(await facts(BASE), true)
  assert.equal(
    await facts([
      ['file', 'a', 'x'],
      ['link', 'b', 'a'],
    ]),
    true,
  )
  assert.equal(await facts([['file', 'etc/.wh.passwd']]), false)
  assert.equal(await facts([['file', 'etc/.wh..wh..opq']]), false)
  assert.equal(await facts([['link', 'b', 'elsewhere']]), false)
})

test('shallow symlinks and folders without an entry are reported', async () => {
  const { facts } = await apply([[...BASE, ['file', 'opt/a/b/c', 'x'], ['dir', 'opt/d']]])
  assert.deepEqual(facts[0]?.implied, ['opt', 'opt/a'])
  assert.deepEqual(facts[0].symlinks, ['dead', 'dir', 'link'])
})

test('a deep path is refused before it becomes a problem', async () => {
  await assert.rejects(apply([[['file', `${'a/'.repeat(300)}x`, 'x']]]), INVALID)
})

test('names that no file system takes and hard links into what they replace are refused', async () => {
  await assert.rejects(apply([[['file', `a/${'ä'.repeat(128)}`, 'x']]], true), {
    ...INVALID,
    message: /name of more than 255 bytes/,
  })
  await assert.rejects(
    apply([
      [
        ['file', 'd/sub/f', 'x'],
        ['link', 'd', 'd/sub/f'],
      ],
    ]),
    { ...INVALID, message: /folder that it replaces/ },
  )
})

test('a message shows the beginning of a long path', async () => {
  await assert.rejects(apply([[['file', `../${'a/'.repeat(900)}x`, 'x']]]), (error: Error) => {
    assert.ok(error.message.length < 300, error.message)
    return true
  })
})

test('owners that containers do not have are refused before anything is written', async () => {
  for (const id of [{ uid: 65_536 }, { gid: 2 ** 31 }]) {
    const head = { typeflag: '0', path: 'f', mode: 0o644, mtime: 0, size: 0, linkpath: '' } as const
    const tar = new TarReader(bytes(encodeHeader({ ...head, uid: 0, gid: 0, ...id })))
    const root = join(scratch, `owner${count++}`)
    const applier = new LayerApplier(new TreeWriter(root, { offset: 0, change: false }))
    await assert.rejects(applier.apply(tar, { alone: true }), { ...INVALID, message: /belongs to/ })
    assert.deepEqual(readdirSync(root), [])
  }
})

async function* bytes(...chunks: readonly Buffer[]): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
  yield* chunks
}

test('a layer of many entries leaves turns to everything else', async () => {
  const folders = Array.from({ length: 5000 }, (_, at): Item => ['dir', `d/${String(at)}`])
  let turns = 0
  const timer = setInterval(() => {
    turns += 1
  }, 1)
  try {
    const started = performance.now()
    await apply([folders])
    // One chunk per entry would give turns by itself; what must not happen is one long stretch without any.
    assert.ok(turns > (performance.now() - started) / 200, `${String(turns)} turns`)
  } finally {
    clearInterval(timer)
  }
})
