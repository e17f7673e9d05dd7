import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { run, runToEnd } from '../lib/process.ts'
import { readMetadata, readTree } from './deb-tree.ts'
import { DebianError } from './debian-error.ts'

const skip = await Promise.all([runToEnd('dpkg-deb', ['--version']), runToEnd('ar', ['--version'])])
  .then(() => false)
  .catch(() => 'needs dpkg-deb and ar (binutils)')

interface Case {
  /** Shell-free recipe: program arguments of tar for data.tar, run in a folder with `x` (file), `d` (folder) and `l` (link to d). */
  readonly data: readonly string[]
  readonly control?: string
  readonly message: RegExp
}

const cases: Readonly<Record<string, Case>> = {
  'a file that occurs twice': { data: ['-cf', 'data.tar', 'x', 'x'], message: /\/x occurs twice/ },
  'a file below a link': {
    data: ['-cf', 'data.tar', '--transform', 's,^x$,l/x,', 'l', 'x'],
    message: /\/l\/x lies below \/l, which is a symlink/,
  },
  'a hard link to nothing': {
    data: ['-cf', 'data.tar', '--transform', 's,^x$,gone,RSh', 'x', 'hard'],
    message: /is a hard link to no file/,
  },
  'no package field': {
    data: ['-cf', 'data.tar', 'x'],
    control: 'Version: 1\n',
    message: /names no package/,
  },
}

for (const [what, { data, control = 'Package: p\n', message }] of Object.entries(cases)) {
  test(`refuses ${what}, and leaves nothing behind`, { skip }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tree-'))
    try {
      const cwd = folder
      await writeFile(join(folder, 'x'), 'x')
      await run('ln', ['x', 'hard'], { cwd })
      await run('ln', ['-s', 'd', 'l'], { cwd })
      await writeFile(join(folder, 'control'), control)
      await writeFile(join(folder, 'debian-binary'), '2.0\n')
      await run('tar', ['-cf', 'control.tar', './control'], { cwd })
      await run('tar', data, { cwd })
      await run('ar', ['rcD', 'p.deb', 'debian-binary', 'control.tar', 'data.tar'], { cwd })
      const trees = join(folder, 'trees')
      const deb = (): Promise<string> => Promise.resolve(join(folder, 'p.deb'))
      const request = { tree: join(trees, 'p'), packageName: 'p', deb }
      await assert.rejects(
        readTree(request).then(() => readMetadata(request)),
        (error) => {
          assert.ok(error instanceof DebianError, String(error))
          assert.equal(error.code, 'DEB_INVALID')
          assert.match(error.message, message)
          return true
        },
      )
      if (what !== 'no package field') assert.deepEqual(await readdir(trees), [])
    } finally {
      await rm(folder, { recursive: true })
    }
  })
}
