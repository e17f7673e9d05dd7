import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DebFile } from './deb-file.ts'
import { FileTree } from './file-tree.ts'
import { mergeUsr } from './merged-usr.ts'

const base = { mode: 0o755, uid: 0, gid: 0, package: 'p' }
const folder = (path: string): DebFile => ({ ...base, path, type: 'folder' })
const link = (path: string, target: string): DebFile => ({ ...base, path, type: 'symlink', target })
const hard = (path: string, target: string): DebFile => ({
  ...base,
  path,
  type: 'hardlink',
  target,
})
const file = (path: string): DebFile => ({
  ...{ ...base, path, type: 'file' },
  content: { bytes: new Uint8Array() },
})

test('moves files below /usr and leaves links that lead there', () => {
  const merged = mergeUsr([
    folder('/lib'),
    folder('/usr'),
    folder('/usr/lib'),
    file('/lib/a'),
    hard('/lib/a2', '/lib/a'),
    link('/lib/up', '../usr/share/x'),
    link('/lib/near', 'a'),
    file('/bin/sh'),
    link('/lib64', 'usr/lib64'),
    file('/usr/lib/a'),
    file('/libexec/stays'),
  ])
  assert.deepEqual(
    merged.map((one) => ('target' in one ? `${one.path} -> ${one.target}` : one.path)),
    [
      '/bin -> usr/bin',
      '/lib -> usr/lib',
      '/lib64 -> usr/lib64',
      '/libexec/stays',
      '/usr',
      '/usr/bin',
      '/usr/bin/sh',
      '/usr/lib',
      '/usr/lib/a',
      '/usr/lib/a2 -> /usr/lib/a',
      '/usr/lib/near -> a',
      '/usr/lib/up -> /usr/share/x',
      '/usr/lib64',
    ],
  )
  assert.deepEqual(mergeUsr(merged), merged)
})

test('finds the same files before and after', () => {
  const files = [
    folder('/lib'),
    file('/lib/real'),
    link('/lib64/direct', '../lib/real'),
    link('/usr/lib/around', '/lib64/direct'),
    link('/usr/share', 'lib'),
    link('/usr/self', 'self'),
    link('/usr/out', '../../../../etc/none'),
  ]
  for (const tree of [new FileTree(files), new FileTree(mergeUsr(files))]) {
    for (const path of [
      '/lib/real',
      '/usr/lib/real',
      '/lib64/direct',
      '/lib/around',
      '/usr/share/real',
    ]) {
      assert.match(tree.find(path)?.file.path ?? '', /\/lib\/real$/, path)
    }
    assert.deepEqual(
      tree.find('/usr/share/around')?.links.map(({ path }) => path.replace(/^\/usr/, '')),
      ['/share', '/lib/around', '/lib64/direct'],
    )
    for (const path of ['/none', '/usr/self', '/usr/out', '/lib/real/below']) {
      assert.equal(tree.find(path), null, path)
    }
  }
})
