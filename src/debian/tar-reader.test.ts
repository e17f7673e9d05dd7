import assert from 'node:assert/strict'
import { chmod, link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { run } from '../lib/process.ts'
import { DebianError } from './debian-error.ts'
import { readTar, type TarEntry } from './tar-reader.ts'

interface Seen extends TarEntry {
  readonly content: string
}

async function entriesOf(bytes: Uint8Array, chunkSize = 1000): Promise<Seen[]> {
  const seen: Seen[] = []
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += chunkSize) {
      yield await Promise.resolve(bytes.subarray(at, at + chunkSize))
    }
  }
  await readTar(chunks(), async (entry, content) => {
    const parts: Uint8Array[] = []
    for await (const part of content) parts.push(Uint8Array.from(part))
    seen.push({ ...entry, content: Buffer.concat(parts).toString('latin1') })
  })
  return seen
}

interface Made {
  readonly name: string
  readonly type?: string
  readonly link?: string
  readonly content?: string
  readonly size?: string
}

function header({ name, type = '0', link: target = '', content = '', size }: Made): Buffer {
  const block = Buffer.alloc(512)
  block.write(name, 0, 'latin1')
  block.write('0000644\0' + '0000001\0' + '0000002\0', 100)
  block.write(size ?? `${content.length.toString(8).padStart(11, '0')}\0`, 124, 'latin1')
  block.write('00000000000\0' + '        ' + type, 136)
  block.write(target, 157, 'latin1')
  block.write('ustar\x0000', 257)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

function archive(entries: readonly Made[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const content = Buffer.from(entry.content ?? '', 'latin1')
    return [header(entry), content, Buffer.alloc((512 - (content.length % 512)) % 512)]
  })
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

for (const format of ['gnu', 'ustar', 'pax', 'v7']) {
  test(`reads what tar writes: ${format}`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tar-'))
    try {
      const long = format === 'v7' ? 'short' : `${'d'.repeat(90)}/${'f'.repeat(60)}`
      await mkdir(join(folder, 'in', 'a', long.split('/')[0] ?? ''), { recursive: true })
      await writeFile(join(folder, 'in/a', long === 'short' ? 'f' : long), 'x'.repeat(1500))
      await writeFile(join(folder, 'in/empty'), '')
      await chmod(join(folder, 'in/empty'), 0o4755)
      await symlink('../empty', join(folder, 'in/a/link'))
      await link(join(folder, 'in/empty'), join(folder, 'in/zhard'))
      const options = ['--sort=name', '--owner=5', '--group=7', '--numeric-owner']
      await run('tar', [`--format=${format}`, ...options, '-cf', 't', '-C', 'in', '.'], {
        cwd: folder,
      })
      for (const size of [1, 511, 65_536]) {
        const seen = await entriesOf(await readFile(join(folder, 't')), size)
        const find = (path: string) => seen.find((entry) => entry.path === path)
        assert.equal(seen[0]?.path, '/')
        assert.equal(find(`/a/${long === 'short' ? 'f' : long}`)?.content, 'x'.repeat(1500))
        assert.equal(find('/a/link')?.target, '../empty')
        assert.deepEqual(find('/empty'), {
          ...{ path: '/empty', type: 'file', mode: 0o4755, uid: 5, gid: 7, size: 0 },
          ...{ target: '', content: '' },
        })
        assert.equal(find('/zhard')?.type, 'hardlink')
        assert.equal(find('/zhard')?.target, '/empty')
      }
    } finally {
      await rm(folder, { recursive: true })
    }
  })
}

test('GNU long links and pax targets', async () => {
  const target = 't'.repeat(150)
  const record = `linkpath=${target}\n`
  const pax = `${String(record.length + 4)} ${record}`
  for (const extension of [
    { name: '././@LongLink', type: 'K', content: `${target}\0` },
    { name: 'p', type: 'x', content: pax },
  ]) {
    const [entry] = await entriesOf(archive([extension, { name: 'l', type: '2', link: 'cut' }]))
    assert.equal(entry?.target, target)
  }
})

const hostile: Readonly<Record<string, Buffer>> = {
  'a path out of the root': archive([{ name: './../etc/passwd' }]),
  'a hard link out of the root': archive([{ name: 'a', type: '1', link: '../../etc/shadow' }]),
  'a device': archive([{ name: 'null', type: '3' }]),
  'a pipe': archive([{ name: 'pipe', type: '6' }]),
  'a link to nothing': archive([{ name: 'a', type: '2' }]),
  'the root as a file': archive([{ name: './' }]),
  'a size that is not octal': archive([{ name: 'a', size: '9'.repeat(11) }]),
  'a size beyond exact numbers': archive([{ name: 'a', size: `\x80${'\xff'.repeat(11)}` }]),
  'a name that is not UTF-8': archive([{ name: 'a\xff\xfe' }]),
  'no end mark': archive([{ name: 'a', content: 'b' }]).subarray(0, 1024),
  'content cut off': archive([{ name: 'a', content: 'b'.repeat(2000) }]).subarray(0, 1100),
  'a pax path with NUL': archive([
    { name: 'x', type: 'x', content: '11 path=a\0\n' },
    { name: 'a' },
  ]),
  'a pax record without length': archive([{ name: 'x', type: 'x', content: 'path=a\n' }]),
  'a pax record too long': archive([{ name: 'x', type: 'x', content: '99 path=a\n' }]),
  'an endless extension': archive([{ name: 'x', type: 'L', size: '77777777777' }]),
}
for (const [what, bytes] of Object.entries(hostile)) {
  test(`refuses ${what}`, async () => {
    await assert.rejects(entriesOf(bytes), (error) => {
      assert.ok(error instanceof DebianError, String(error))
      return error.code === 'DEB_INVALID'
    })
  })
}

test('a changed byte of a header never goes unnoticed', async () => {
  const good = archive([
    { name: 'a', content: 'hello' },
    { name: 'b', type: '2', link: 'a' },
  ])
  for (let at = 0; at < 512; at += 1) {
    for (const change of [1, 2, 0x40]) {
      const bytes = Buffer.from(good)
      bytes.writeUInt8((bytes[at] ?? 0) ^ change, at)
      await assert.rejects(entriesOf(bytes), DebianError, `byte ${at} ^ ${change}`)
    }
  }
})

test('any bytes end in DebianError or in some entries', async () => {
  const good = archive([
    { name: 'a', content: 'hello' },
    { name: 'b', type: '2', link: 'a' },
  ])
  const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255))
  await fc.assert(
    fc.asyncProperty(fc.array(change), fc.nat(good.length), async (changes, length) => {
      const bytes = Buffer.from(good.subarray(0, length))
      for (const [at, value] of changes) if (at < length) bytes.writeUInt8(value, at)
      try {
        await entriesOf(bytes)
      } catch (error) {
        assert.ok(error instanceof DebianError, String(error))
      }
    }),
  )
})
