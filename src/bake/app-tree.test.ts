import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { FolderSource } from '../../test/fakes/folder-source.ts'
import { FairwayError } from '../model/errors.ts'
import { appLayer, checkLinks, forbiddenPart, openAppTree } from './app-tree.ts'

const root = mkdtempSync(join(tmpdir(), 'fairway-app-tree-'))
after(() => rmSync(root, { recursive: true, force: true }))

function folder(name: string, files: Readonly<Record<string, string>>): string {
  const path = join(root, name)
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(join(path, dirname(file)), { recursive: true })
    writeFileSync(join(path, file), text)
  }
  return path
}

const KEY = '-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n'

test('version control, environment files, credentials and private keys never reach an image', async () => {
  const path = folder('secrets', {
    'server.js': 'x',
    '.git/config': 'x',
    'packages/a/.git/HEAD': 'x',
    '.env': 'x',
    'config/.env.production': 'x',
    '.npmrc': '//registry/:_authToken=secret',
    id_rsa: 'x',
    'tls/server.pem': KEY,
    'tls/server.key': `# made by hand\n${KEY}`,
    'tls/ca.pem': '-----BEGIN CERTIFICATE-----\nMIIE\n',
    'environment.js': 'x',
  })
  const tree = await openAppTree(new FolderSource(path), '.')
  assert.deepEqual(
    tree.entries.map((entry) => entry.path),
    ['environment.js', 'server.js', 'tls/ca.pem'],
  )
  assert.deepEqual(tree.leftOut, [
    '.env',
    '.git',
    '.npmrc',
    'config/.env.production',
    'id_rsa',
    'packages/a/.git',
    'tls/server.key',
    'tls/server.pem',
  ])
  assert.match((await tree.readText('.npmrc')) ?? '', /_authToken/)
})

test('a link that leaves the source is refused by name, one inside is kept', async () => {
  const path = folder('links', { 'a/file': 'x' })
  symlinkSync('../a/file', join(path, 'a', 'inside'))
  const tree = await openAppTree(new FolderSource(path), '.')
  assert.deepEqual(
    [...appLayer(tree, 'app')].map((entry) => [entry.type, entry.path]),
    [
      ['file', 'app/a/file'],
      ['symlink', 'app/a/inside'],
    ],
  )
  symlinkSync('../../../etc/passwd', join(path, 'a', 'leak'))
  await assert.rejects(openAppTree(new FolderSource(path), '.'), (error: unknown) => {
    assert(error instanceof FairwayError)
    assert.equal(error.code, 'INVALID_SOURCE')
    assert.match(error.message, /"a\/leak" points to "..\/..\/..\/etc\/passwd"/)
    return true
  })
})

test('links: absolute, up and out, down and out again, in circles are refused', () => {
  const check = (links: Readonly<Record<string, string>>): void =>
    checkLinks(Object.entries(links).map(([path, target]) => ({ type: 'symlink', path, target })))
  for (const target of [
    '/etc/passwd',
    '../..',
    '../../x',
    '../b/../../..',
    'x/../../../y',
    'link',
  ]) {
    assert.throws(() => check({ 'a/link': target }), FairwayError, target)
  }
  for (const target of ['file', '..', '../b', '.', '../a/../b', './x/../y'])
    check({ 'a/link': target })
  // Reads as d/e/x, and is the folder above the root.
  assert.throws(() => check({ 'd/e/up': '../..', 'd/e/out': 'up/../x' }), /"d\/e\/out"/)
  assert.throws(() => check({ a: 'b', 'a/c': 'd' }), /"a\/c" lies below the symbolic link "a"/)
})

test('a context is the root of what is baked, and links may not leave it', async () => {
  const path = folder('context', { 'web/index.html': 'x', 'shared/a': 'x' })
  const tree = await openAppTree(new FolderSource(path), 'web')
  assert.deepEqual(
    tree.entries.map((entry) => entry.path),
    ['index.html'],
  )
  symlinkSync('../shared/a', join(path, 'web', 'a'))
  await assert.rejects(openAppTree(new FolderSource(path), './web/'), /outside of the source/)
  await assert.rejects(openAppTree(new FolderSource(path), 'nothing'), /contains no files/)
  await assert.rejects(openAppTree(new FolderSource(path), '../x'), /outside of the source/)
})

test('property: a forbidden name is found at every depth, and nothing else is', () => {
  const plain = fc
    .stringMatching(/^[a-z][a-z0-9_-]{0,8}$/)
    .filter((name) => !name.startsWith('id_'))
  const parts = fc.array(plain, { maxLength: 4 })
  const bad = fc.constantFrom('.git', '.env', '.env.local', '.npmrc', 'id_ed25519', '.ssh')
  fc.assert(
    fc.property(parts, bad, parts, (before, name, behind) => {
      const found = [...before, name].join('/')
      assert.equal(forbiddenPart([...before, name, ...behind].join('/')), found)
      assert.equal(forbiddenPart([...before, 'x', ...behind].join('/')), null)
    }),
  )
})
