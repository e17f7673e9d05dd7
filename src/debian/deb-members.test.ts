import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { run, runToEnd } from '../lib/process.ts'
import { arMember, debMember, type DebMember } from './deb-members.ts'
import { DebianError } from './debian-error.ts'

const programs = await Promise.all(
  ['dpkg-deb', 'xz'].map((program) =>
    runToEnd(program, ['--version']).then(
      () => true,
      () => false,
    ),
  ),
)
const skip = programs.every(Boolean) ? false : 'needs dpkg-deb and xz'

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(Uint8Array.from(chunk))
  return Buffer.concat(parts)
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'members-'))
  try {
    await use(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

for (const compression of ['gzip', 'xz', 'zstd', 'none']) {
  test(`reads the members itself as dpkg-deb does: ${compression}`, { skip }, async () => {
    await withFolder(async (folder) => {
      const root = join(folder, 'root')
      await mkdir(join(root, 'DEBIAN'), { recursive: true })
      // Whatever the umask here: dpkg-deb wants it so.
      for (const path of [root, join(root, 'DEBIAN')]) await chmod(path, 0o755)
      const control =
        'Package: a\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: d\n'
      await writeFile(join(root, 'DEBIAN/control'), control)
      await writeFile(join(root, 'big'), 'abc'.repeat(400_000))
      const deb = join(folder, 'a.deb')
      await run('dpkg-deb', [`-Z${compression}`, '--build', root, deb])
      for (const member of ['control', 'data'] satisfies DebMember[]) {
        const own = await collect(arMember(deb, member))
        assert.ok(own.length > 1000)
        assert.ok(own.equals(await collect(debMember(deb, member))))
      }
    })
  })
}

const header = (name: string, size: string) =>
  `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${size.padEnd(10)}\`\n`
const broken: Readonly<Record<string, readonly [string, RegExp]>> = {
  'no ar archive': ['hello, this is text', /no ar magic/],
  'an empty one': ['!<arch>\n', /no member data.tar/],
  'a size that is none': [`!<arch>\n${header('data.tar', '-5')}`, /broken ar header/],
  'a member cut off': [`!<arch>\n${header('data.tar', '5000')}x`, /data.tar is cut off/],
  'unknown compression': [
    `!<arch>\n${header('data.tar.rar', '1')}x`,
    /compression of data.tar.rar/,
  ],
}
for (const [what, [content, message]] of Object.entries(broken)) {
  test(`refuses ${what}`, async () => {
    await withFolder(async (folder) => {
      const path = join(folder, 'x.deb')
      await writeFile(path, content)
      await assert.rejects(collect(arMember(path, 'data')), (error) => {
        assert.ok(error instanceof DebianError)
        assert.equal(error.code, 'DEB_INVALID')
        assert.match(error.message, message)
        return true
      })
    })
  })
}

test('a reader that stops early ends the program', { skip }, async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'x.xz')
    await writeFile(join(folder, 'x'), Buffer.alloc(30_000_000))
    await run('xz', ['-0', join(folder, 'x')])
    const { programOutput } = await import('./program-output.ts')
    for await (const chunk of programOutput('xz', ['-dc', path])) {
      assert.ok(chunk.length > 0)
      break
    }
    await assert.rejects(collect(programOutput('xz', ['-dc', join(folder, 'none')])), /none/)
  })
})
