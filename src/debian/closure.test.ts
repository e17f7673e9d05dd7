import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { elfObject, type ElfObjectOptions } from '../../test/fakes/elf-object.ts'
import { elfClosure, type ElfClosureOptions } from './closure.ts'
import type { DebFile } from './deb-file.ts'
import { DebianError, type DebianErrorCode } from './debian-error.ts'

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'closure-'))
})
after(async () => {
  await rm(folder, { recursive: true })
})

let made = 0
async function root(path: string, options: ElfObjectOptions | string) {
  made += 1
  const file = join(folder, String(made))
  await writeFile(file, typeof options === 'string' ? options : elfObject(options))
  return { path, file }
}

const base = { mode: 0o644, uid: 0, gid: 0, package: 'libs' }
const library = (path: string, options: ElfObjectOptions = {}): DebFile => ({
  ...{ ...base, path, type: 'file' },
  content: { bytes: elfObject(options) },
})
const text = (path: string, content = 'text'): DebFile => ({
  ...{ ...base, path, type: 'file' },
  content: { bytes: Buffer.from(content) },
})
const symlink = (path: string, target: string): DebFile => ({
  ...base,
  path,
  type: 'symlink',
  target,
})
const folderAt = (path: string, mode: number): DebFile => ({ ...base, path, type: 'folder', mode })

async function chosen(options: ElfClosureOptions): Promise<string[]> {
  const files = await elfClosure(options)
  return files.filter(({ type }) => type !== 'folder').map(({ path }) => path)
}

async function refuses(options: ElfClosureOptions, code: DebianErrorCode, message: RegExp) {
  await assert.rejects(elfClosure(options), (error) => {
    assert.ok(error instanceof DebianError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}

const dir = '/usr/lib/x86_64-linux-gnu'

test('interpreter, libraries, links, their folders and copyright, and nothing else', async () => {
  const interpreter = '/lib64/ld-linux-x86-64.so.2'
  const program = await root('/app/program', { needed: ['liba.so.1', 'libc.so.6'], interpreter })
  const script = await root('/app/script', '#!/bin/sh')
  const files = await elfClosure({
    roots: [program, script],
    provide: [
      folderAt('/lib', 0o711),
      symlink('/lib64/ld-linux-x86-64.so.2', '/lib/x86_64-linux-gnu/ld.so'),
      library('/lib/x86_64-linux-gnu/ld.so', { needed: [] }),
      library('/lib/x86_64-linux-gnu/libc.so.6', { needed: ['ld.so'] }),
      symlink(`${dir}/liba.so.1`, 'liba.so.1.2'),
      library(`${dir}/liba.so.1.2`, { needed: ['libc.so.6', 'liba.so.1'] }),
      library(`${dir}/libunused.so`),
      symlink('/usr/share/doc/libs', 'other'),
      text('/usr/share/doc/other/copyright'),
      text('/usr/share/doc/other/changelog'),
    ],
  })
  assert.deepEqual(
    files.map(({ path, type, mode, package: name }) => [path, type, mode, name]),
    [
      ['/lib', 'folder', 0o711, ''],
      ['/lib/x86_64-linux-gnu', 'folder', 0o755, ''],
      ['/lib/x86_64-linux-gnu/ld.so', 'file', 0o644, 'libs'],
      ['/lib/x86_64-linux-gnu/libc.so.6', 'file', 0o644, 'libs'],
      ['/lib64', 'folder', 0o755, ''],
      ['/lib64/ld-linux-x86-64.so.2', 'symlink', 0o644, 'libs'],
      ['/usr', 'folder', 0o755, ''],
      ['/usr/lib', 'folder', 0o755, ''],
      ['/usr/lib/x86_64-linux-gnu', 'folder', 0o755, ''],
      ['/usr/lib/x86_64-linux-gnu/liba.so.1', 'symlink', 0o644, 'libs'],
      ['/usr/lib/x86_64-linux-gnu/liba.so.1.2', 'file', 0o644, 'libs'],
      ['/usr/share', 'folder', 0o755, ''],
      ['/usr/share/doc', 'folder', 0o755, ''],
      ['/usr/share/doc/libs', 'symlink', 0o644, 'libs'],
      ['/usr/share/doc/other', 'folder', 0o755, ''],
      ['/usr/share/doc/other/copyright', 'file', 0o644, 'libs'],
    ],
  )
})

test('a library named below /lib is found where the package has it below /usr, and the other way', async () => {
  const roots = [await root('/p', { interpreter: '/lib64/ld.so', needed: ['libb.so'] })]
  const provide = [library('/usr/lib64/ld.so'), library('/lib/x86_64-linux-gnu/libb.so')]
  assert.deepEqual(await chosen({ roots, provide }), [
    '/lib/x86_64-linux-gnu/libb.so',
    '/usr/lib64/ld.so',
  ])
})

test('RUNPATH holds for the object alone, RPATH also for what it loads', async () => {
  const provide = [
    library('/opt/lib/liba.so', { needed: ['libb.so'] }),
    library('/opt/lib/libb.so'),
  ]
  const path = '/opt/bin/program'
  const rpath = await root(path, { needed: ['liba.so'], rpath: '$ORIGIN/../lib' })
  assert.deepEqual(await chosen({ roots: [rpath], provide }), [
    '/opt/lib/liba.so',
    '/opt/lib/libb.so',
  ])
  const runpath = await root(path, { needed: ['liba.so'], runpath: '${ORIGIN}/../lib' })
  const message =
    /\/opt\/lib\/liba.so needs libb.so, which is in none of the given packages \(libs\)/
  await refuses({ roots: [runpath], provide }, 'LIBRARY_MISSING', message)
  assert.deepEqual(await chosen({ roots: [runpath], provide, optional: ['libb.so'] }), [
    '/opt/lib/liba.so',
  ])
})

test('roots see one another, by name where one has loaded the other already', async () => {
  const roots = [
    await root('/jdk/bin/java', { needed: ['libjli.so'], runpath: '$ORIGIN/../lib' }),
    await root('/jdk/lib/libjli.so', {}),
    await root('/jdk/lib/libnet.so', { needed: ['libjvm.so'] }),
    await root('/jdk/lib/server/libjvm.so', { needed: ['libm.so.6'] }),
  ]
  const provide = [library(`${dir}/libm.so.6`)]
  assert.deepEqual(await chosen({ roots, provide }), [`${dir}/libm.so.6`])
})

test('objects of another machine or class, and text of that name, are passed over', async () => {
  const roots = [await root('/p', { needed: ['liba.so'] })]
  const wrong = [
    library('/lib/x86_64-linux-gnu/liba.so', { machine: 183 }),
    library('/usr/lib/liba.so', { class: 32 }),
    text('/lib64/liba.so'),
  ]
  await refuses({ roots, provide: wrong }, 'LIBRARY_MISSING', /\/p needs liba.so/)
  const right = { ...library('/usr/lib64/liba.so'), package: 'right' }
  const provide = [...wrong.slice(0, 2), right]
  assert.deepEqual(await chosen({ roots, provide }), ['/usr/lib64/liba.so'])
})

test('hard links bring their file; links in a circle and broken objects are errors', async () => {
  const roots = [await root('/p', { needed: ['liba.so'] })]
  const hard: DebFile = { ...base, path: '/lib/liba.so', type: 'hardlink', target: '/lib/libz.so' }
  assert.deepEqual(await chosen({ roots, provide: [library('/lib/libz.so'), hard] }), [
    '/lib/liba.so',
    '/lib/libz.so',
  ])
  const circle = [symlink('/lib/liba.so', 'b'), symlink('/lib/b', 'liba.so')]
  await refuses({ roots, provide: circle }, 'LIBRARY_MISSING', /liba.so/)
  const provide = [text('/lib/liba.so', '\x7fELF' + 'x'.repeat(100))]
  await refuses({ roots, provide }, 'ELF_INVALID', /\/lib\/liba.so: broken ELF object/)
})
