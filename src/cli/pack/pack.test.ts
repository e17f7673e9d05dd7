import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { FairwayError } from '../../model/errors.ts'
import { pack, readContent, type Pack, type PackOptions } from './pack.ts'

const base = mkdtempSync(join(tmpdir(), 'fairway-pack-'))
after(() => {
  rmSync(base, { recursive: true, force: true })
})
let count = 0

/** A folder with these files; null makes a folder, '-> x' a link. */
function folderOf(files: Readonly<Record<string, string | Buffer | null>>): string {
  const root = join(base, `f${count++}`)
  mkdirSync(root)
  for (const [path, content] of Object.entries(files)) {
    const file = join(root, path)
    mkdirSync(dirname(file), { recursive: true })
    if (content === null) mkdirSync(file, { recursive: true })
    else if (typeof content === 'string' && content.startsWith('-> ')) {
      symlinkSync(content.slice(3), file)
    } else writeFileSync(file, content)
  }
  return root
}

function packed(path: string, changes: Partial<PackOptions> = {}): Pack {
  const cacheDir = join(base, 'cache')
  return pack({ path, isFolder: true, cacheDir, now: Date.now(), ...changes })
}

function paths(result: Pack): string[] {
  return result.entries.map(({ path }) => path)
}

const KEY = '-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n'

test('files with size, mode and digest, sorted by the bytes of the path', () => {
  const root = folderOf({ 'b/c': 'hi', 'b-': '', 'a.sh': '#!', ﬀ: '1', '𝒳': '2', B: '3' })
  chmodSync(join(root, 'a.sh'), 0o755)
  const result = packed(root)
  assert.deepEqual(paths(result), ['B', 'a.sh', 'b-', 'b/c', 'ﬀ', '𝒳'])
  const digest = `sha256:${createHash('sha256').update('hi').digest('hex')}`
  assert.deepEqual(result.entries[3], {
    type: 'file',
    path: 'b/c',
    size: 2,
    executable: false,
    digest,
  })
  assert.equal(result.entries[1]?.type === 'file' && result.entries[1].executable, true)
  assert.equal(result.bytes, 7)
})

test('secrets and version control never travel, whatever an ignore file says', () => {
  const root = folderOf({
    '.env': 'A=1',
    'sub/.env.production': 'A=1',
    '.env.example': 'A=',
    'certs/server.key': KEY,
    'certs/ca.pem': '-----BEGIN CERTIFICATE-----',
    'certs/all.pem': `-----BEGIN CERTIFICATE-----\n${KEY}`,
    id_ed25519: 'x',
    '.ssh/config': 'x',
    'x/.git/config': 'x',
    '.git': 'gitdir: elsewhere',
    '.npmrc': '//registry.example/:_authToken=npm_abc',
    'a/.npmrc': '//registry.example/:_authToken=${NPM_TOKEN}\n',
    'locale.key': 'just a word list',
    'store.p12': 'x',
    '.fairwayignore': '!.env\n!.git\n!*.key\n',
    'app.js': '1',
  })
  const result = packed(root)
  assert.deepEqual(paths(result), [
    '.env.example',
    'a/.npmrc',
    'app.js',
    'certs/ca.pem',
    'locale.key',
  ])
  assert.deepEqual(result.secrets, [
    '.env',
    '.npmrc',
    '.ssh/',
    'certs/all.pem',
    'certs/server.key',
    'id_ed25519',
    'store.p12',
    'sub/.env.production',
  ])
})

test('node_modules stays here beside or below a lockfile, and travels without one', () => {
  const files = { 'package.json': '{}', 'node_modules/a/index.js': '1', 'p/node_modules/b.js': '1' }
  assert.equal(paths(packed(folderOf(files))).length, 3)
  assert.deepEqual(paths(packed(folderOf({ ...files, 'package-lock.json': '{}' }))), [
    'package-lock.json',
    'package.json',
  ])
  const back = folderOf({ ...files, 'yarn.lock': '', '.fairwayignore': '!node_modules' })
  assert.equal(paths(packed(back)).length, 4)
})

test('.fairwayignore is used before .dockerignore, .gitignore never', () => {
  const files = { '.gitignore': 'dist', 'dist/a': '1', 'a.md': '1', 'x/b.md': '1', 'x/c': '1' }
  assert.deepEqual(paths(packed(folderOf(files))), [
    '.gitignore',
    'a.md',
    'dist/a',
    'x/b.md',
    'x/c',
  ])
  const docker = { ...files, '.dockerignore': '*\n!x\nx/*.md' }
  assert.deepEqual(paths(packed(folderOf(docker))), ['x/c'])
  assert.equal(packed(folderOf(docker)).ignoreFile, '.dockerignore')
  const own = packed(folderOf({ ...docker, '.fairwayignore': '*.md' }))
  assert.deepEqual(paths(own), ['.gitignore', 'dist/a', 'x/c'])
  assert.equal(own.ignoreFile, '.fairwayignore')
})

test('virtual environments and the app file do not travel', () => {
  const root = folderOf({
    'v/pyvenv.cfg': '',
    'v/lib/x': '1',
    'fairway.yaml': 'version: 1',
    a: '1',
  })
  assert.deepEqual(paths(packed(root, { except: new Set(['fairway.yaml']) })), ['a'])
})

test('an OCI layout is taken whole', () => {
  const root = folderOf({
    'oci-layout': '{}',
    'blobs/sha256/a': '1',
    '.dockerignore': '*',
    '.env': '1',
  })
  assert.deepEqual(paths(packed(root)), ['.dockerignore', '.env', 'blobs/sha256/a', 'oci-layout'])
})

test('a single file is a source of one entry', () => {
  const root = folderOf({ 'app.jar': 'PK' })
  assert.deepEqual(paths(packed(join(root, 'app.jar'), { isFolder: false })), ['app.jar'])
})

test('links that stay inside are kept as they are', () => {
  const root = folderOf({
    'a/b': '1',
    'a/l': '-> b',
    m: '-> a/b',
    gone: '-> nowhere',
    loop: '-> loop',
  })
  assert.deepEqual(
    packed(root).entries.filter(({ type }) => type === 'symlink'),
    [
      { type: 'symlink', path: 'a/l', target: 'b' },
      { type: 'symlink', path: 'gone', target: 'nowhere' },
      { type: 'symlink', path: 'loop', target: 'loop' },
      { type: 'symlink', path: 'm', target: 'a/b' },
    ],
  )
})

for (const target of ['/etc/passwd', '../x', 'a/../../x', '..', 'up/..']) {
  test(`a link to ${target} is refused by name`, () => {
    // `up/..` looks as if it stayed inside, but `up` is the folder itself and so `up/..` its parent.
    const root = folderOf({ 'a/b': '1', up: '-> .', bad: `-> ${target}` })
    assert.throws(
      () => packed(root),
      (error: unknown) =>
        error instanceof FairwayError &&
        error.code === 'INVALID_SOURCE' &&
        error.message.startsWith('bad is a link to'),
    )
  })
}

test('sockets and pipes are left out and named', async () => {
  const root = folderOf({ a: '1' })
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(join(root, 's.sock'), resolve))
  try {
    assert.deepEqual(packed(root).special, ['s.sock'])
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
})

test('a digest is remembered, and a changed file is seen by any of size, times and inode', () => {
  const root = folderOf({ a: 'one', b: 'two' })
  const past = new Date(Date.now() - 60_000)
  utimesSync(join(root, 'a'), past, past)
  const later = { now: Date.now() + 10_000 }
  packed(root, later).cache.save()
  const before = paths(packed(root, later))
  assert.deepEqual(before, ['a', 'b'])
  // Same size and mtime: only the change time tells, which the kernel counts in steps of some milliseconds.
  const { ctimeMs } = statSync(join(root, 'a'))
  do {
    writeFileSync(join(root, 'a'), 'eno')
    utimesSync(join(root, 'a'), past, past)
  } while (statSync(join(root, 'a')).ctimeMs === ctimeMs)
  const [entry] = packed(root, later).entries
  const digest = `sha256:${createHash('sha256').update('eno').digest('hex')}`
  assert.equal(entry?.type === 'file' && entry.digest, digest)
})

test('a file changed within the last two seconds is not remembered', () => {
  const root = folderOf({ a: 'one' })
  const now = statSync(join(root, 'a')).ctimeMs + 1000
  const first = packed(root, { now })
  first.cache.accept('s')
  first.cache.save()
  assert.equal(packed(root, { now }).cache.serverHas('s', 'a'), false)
  const second = packed(root, { now: now + 5000 })
  second.cache.accept('s')
  second.cache.save()
  assert.equal(packed(root, { now: now + 5000 }).cache.serverHas('s', 'a'), true)
})

test('the cache knows what a server has had, file by file and server by server', () => {
  const root = folderOf({ a: 'one', b: 'two' })
  const now = Date.now() + 10_000
  const first = packed(root, { now })
  assert.equal(first.cache.servedBefore('s'), false)
  first.cache.accept('s')
  first.cache.save()
  writeFileSync(join(root, 'b'), 'three')
  const second = packed(root, { now })
  assert.equal(second.cache.serverHas('s', 'a'), true)
  assert.equal(second.cache.serverHas('s', 'b'), false)
  assert.equal(second.cache.serverHas('other', 'a'), false)
  second.cache.forget('s')
  assert.equal(second.cache.serverHas('s', 'a'), false)
})

test('a broken cache file costs nothing but time', () => {
  const root = folderOf({ a: 'one' })
  const cacheDir = join(base, 'broken')
  const now = Date.now() + 10_000
  const first = packed(root, { cacheDir, now })
  first.cache.accept('s')
  first.cache.save()
  for (const file of [
    '{',
    'null',
    '[]',
    '{"version":1}',
    '{"version":1,"generation":1,"files":null}',
  ]) {
    writeFileSync(first.cache.file, file)
    assert.equal(packed(root, { cacheDir, now }).cache.serverHas('s', 'a'), false)
  }
})

test('contents read back are what was hashed, whatever their size', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(0, 1, 255, 256 * 1024, 256 * 1024 + 1, 1 << 20, 3_000_001),
      (size) => {
        const bytes = Buffer.alloc(size, 'fairway')
        const [content] = [...packed(folderOf({ a: bytes })).contents.values()]
        assert.ok(content)
        const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
        assert.equal(content.digest, digest)
        assert.deepEqual(Buffer.concat([...readContent(content)]), bytes)
      },
    ),
    { numRuns: 7 },
  )
})

test('a file that holds a private key stays here, whatever its name; a ! line has the last word', () => {
  const key = `-----BEGIN PRIVATE KEY-----\n${'MIIEvQ'.repeat(20)}\n-----END PRIVATE KEY-----\n`
  const files = { 'notes.txt': key, 'a.json': JSON.stringify({ key }), 'index.js': 'x' }
  const root = folderOf(files)
  for (const now of [Date.now() + 10_000, Date.now() + 20_000]) {
    const result = packed(root, { now })
    assert.deepEqual(paths(result), ['index.js'])
    assert.deepEqual(result.secrets, ['a.json', 'notes.txt'])
    result.cache.save()
  }
  const wanted = packed(folderOf({ ...files, '.fairwayignore': '!a.json\n' }))
  assert.deepEqual(paths(wanted), ['a.json', 'index.js'])
  assert.deepEqual(wanted.secrets, ['notes.txt'])
})
