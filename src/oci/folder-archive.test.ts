import assert from 'node:assert/strict'
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import fc from 'fast-check'
import { packFolders, unpackFolders } from './folder-archive.ts'
import { encodeHeader } from './tar-header.ts'

const LIMITS = { maxEntries: 1000, maxBytes: 1 << 20 }
const END = Buffer.alloc(1024)
let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fairway-archive-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('files, folders and links come out as they went in', async () => {
  const from = join(folder, 'from')
  await mkdir(join(from, 'a/empty'), { recursive: true })
  await writeFile(join(from, 'a/run'), 'x'.repeat(100_000))
  await chmod(join(from, 'a/run'), 0o755)
  await symlink('../elsewhere', join(from, 'a/link'))
  const to = await copyOf({
    work: from,
    missing: join(folder, 'nothing'),
    one: join(from, 'a/run'),
  })
  assert.equal((await readFile(join(to, 'work/a/run'), 'utf8')).length, 100_000)
  assert.equal((await lstat(join(to, 'work/a/run'))).mode & 0o777, 0o755)
  assert.equal(await readlink(join(to, 'work/a/link')), '../elsewhere')
  assert.ok((await lstat(join(to, 'work/a/empty'))).isDirectory())
  assert.ok((await lstat(join(to, 'one'))).isFile())
  await assert.rejects(lstat(join(to, 'missing')), { code: 'ENOENT' })
})

test('any content comes out byte for byte', async () => {
  let at = 0
  const content = fc.uint8Array({ maxLength: 5000 })
  await fc.assert(
    fc.asyncProperty(content, async (bytes) => {
      const file = join(folder, `file-${String((at += 1))}`)
      await writeFile(file, bytes)
      const to = await copyOf({ file })
      assert.deepEqual(new Uint8Array(await readFile(join(to, 'file'))), bytes)
    }),
    { numRuns: 30 },
  )
})

test('nothing is written outside, through a link, or twice', async () => {
  const outside = join(folder, 'outside')
  await mkdir(outside)
  const file = (path: string): Buffer => entry('0', path)
  const hostile: Readonly<Record<string, readonly Buffer[]>> = {
    'above the root': [file('../outside/x')],
    absolute: [file('/outside/x')],
    'through a link': [entry('2', 'work', outside), file('work/x')],
    'over a link': [entry('2', 'x', join(outside, 'x')), file('x')],
    'in a folder that it did not make': [file('work/x')],
    twice: [file('x'), file('x')],
    'a folder where a link is': [entry('2', 'work', outside), entry('5', 'work'), file('work/x')],
    'a hard link': [file('x'), entry('1', 'y', 'x')],
  }
  for (const [what, blocks] of Object.entries(hostile)) {
    const to = join(folder, `to-${what.replaceAll(' ', '-')}`)
    await mkdir(to)
    await assert.rejects(unpackFolders(once(Buffer.concat([...blocks, END])), to, LIMITS), what)
  }
  await assert.rejects(lstat(join(outside, 'x')), { code: 'ENOENT' })
})

test('limits of bytes and entries hold, and half an archive is no archive', async () => {
  await writeFile(join(folder, 'big'), Buffer.alloc(3000))
  const big = { work: join(folder, 'big') }
  await assert.rejects(copyOf(big, { ...LIMITS, maxBytes: 2999 }), { code: 'TOO_LARGE' })
  const many = { a: folder, b: folder }
  await assert.rejects(copyOf(many, { ...LIMITS, maxEntries: 2 }), { code: 'TOO_LARGE' })
  const whole: Buffer[] = []
  for await (const chunk of packFolders(big)) whole.push(chunk)
  const half = Buffer.concat(whole).subarray(0, 2000)
  await mkdir(join(folder, 'half'))
  await assert.rejects(unpackFolders(once(half), join(folder, 'half'), LIMITS), {
    code: 'INVALID_IMAGE',
  })
})

let copies = 0
async function copyOf(folders: Readonly<Record<string, string>>, limits = LIMITS): Promise<string> {
  const to = join(folder, `copy-${String((copies += 1))}`)
  await mkdir(to)
  await unpackFolders(packFolders(folders), to, limits)
  return to
}

function entry(typeflag: '0' | '1' | '2' | '5', path: string, linkpath = ''): Buffer {
  return encodeHeader({ typeflag, path, linkpath, mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 0 })
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
  yield bytes
}
