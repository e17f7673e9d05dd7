import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { folderTree } from './folder-tree.ts'

const root = mkdtempSync(join(tmpdir(), 'fairway-folder-'))
after(() => rmSync(root, { recursive: true, force: true }))

test('files, folders and links with plain modes; what is not chosen is not entered', async () => {
  const folder = join(root, 'a')
  mkdirSync(join(folder, '.bin'), { recursive: true })
  mkdirSync(join(folder, '.cache'))
  writeFileSync(join(folder, 'tool.js'), 'x', { mode: 0o700 })
  writeFileSync(join(folder, 'data'), 'x', { mode: 0o600 })
  writeFileSync(join(folder, '.cache', 'x'), 'x')
  symlinkSync('../tool.js', join(folder, '.bin', 'tool'))
  symlinkSync('../packages/own', join(folder, 'own'))
  const entries = await folderTree(folder, {
    root: 'app/node_modules',
    boundary: 'app',
    choose: (path) => path !== '.cache',
  })
  const seen = entries.map((entry) =>
    `${entry.type} ${entry.path} ${entry.type === 'file' ? entry.mode.toString(8) : ''}`.trim(),
  )
  assert.deepEqual(seen.sort(), [
    'directory app/node_modules/.bin',
    'file app/node_modules/data 644',
    'file app/node_modules/tool.js 755',
    'symlink app/node_modules/.bin/tool',
    'symlink app/node_modules/own',
  ])
})

test('a link out of the boundary is refused', async () => {
  for (const [index, target] of ['../../x', '/etc/passwd', '../../../../../../etc'].entries()) {
    const folder = join(root, `b${String(index)}`)
    mkdirSync(folder)
    symlinkSync(target, join(folder, 'link'))
    await assert.rejects(
      folderTree(folder, { root: 'app/node_modules', boundary: 'app' }),
      /outside of \/app/,
      target,
    )
  }
})

test('a folder that is itself a link, or reached through one, is refused', async () => {
  const work = join(root, 'work')
  mkdirSync(work)
  symlinkSync('/etc', join(work, 'dist'))
  for (const inner of ['dist', 'dist/ssl', 'missing', '..']) {
    await assert.rejects(
      folderTree(join(work, inner), { root: 'app', trusted: work }),
      /after the build/,
      inner,
    )
  }
})
