import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeHeader, paxRecord } from './tar-header.ts'
import { TarReader } from './tar-reader.ts'

const file = (path: string, size = 0): Buffer =>
  encodeHeader({ typeflag: '0', path, linkpath: '', mode: 0o644, uid: 0, gid: 0, size, mtime: 0 })
const END = Buffer.alloc(1024)

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function names(bytes: Buffer, size = 1 << 16): Promise<string[]> {
  const reader = new TarReader(cut(bytes, size))
  const found: string[] = []
  for (let entry = await reader.next(); entry !== null; entry = await reader.next()) {
    found.push(entry.path)
  }
  return found
}

/** A header block with other bytes at an offset and the right checksum. */
function patched(block: Buffer, offset: number, text: string): Buffer {
  const copy = Buffer.from(block)
  copy.write(text, offset, 'latin1')
  copy.fill(0x20, 148, 156)
  const sum = copy.reduce((total, byte) => total + byte, 0)
  copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1')
  return copy
}

const INVALID = { code: 'INVALID_IMAGE' }

test('chunks of any size give the same entries', async () => {
  const body = Buffer.alloc(1024, 'x')
  const bytes = Buffer.concat([
    file('a', 700),
    body,
    file('b'),
    file('ü', 1),
    Buffer.alloc(512),
    END,
  ])
  for (const size of [1, 7, 511, 512, 513, 4096])
    assert.deepEqual(await names(bytes, size), ['a', 'b', 'ü'])
})

test('content that is not read is skipped, content that is read is exact', async () => {
  const reader = new TarReader(
    cut(Buffer.concat([file('a', 3), Buffer.from('abc'), Buffer.alloc(509), file('b'), END]), 10),
  )
  await reader.next()
  const parts: Buffer[] = []
  for await (const part of reader.content()) parts.push(part)
  assert.equal(Buffer.concat(parts).toString(), 'abc')
  assert.equal((await reader.next())?.path, 'b')
})

test('a missing end mark is tolerated at a block boundary, as other readers do', async () => {
  assert.deepEqual(await names(file('a')), ['a'])
  assert.deepEqual(await names(Buffer.concat([file('a'), Buffer.alloc(512)])), ['a'])
  assert.deepEqual(await names(Buffer.concat([file('a'), Buffer.alloc(20 * 512)])), ['a'])
})

test('cut off, padded, damaged and unknown things are refused', async () => {
  const cases: Record<string, Buffer> = {
    'cut in a header': file('a').subarray(0, 300),
    'cut in content': Buffer.concat([file('a', 900), Buffer.alloc(512)]),
    'cut in padding': Buffer.concat([file('a', 10), Buffer.alloc(100)]),
    'bytes after the end': Buffer.concat([file('a'), END, file('b')]),
    'wrong checksum': Buffer.concat([Buffer.from(file('a')).fill(0x41, 0, 1), END]).fill(
      0x42,
      1,
      2,
    ),
    'unknown type': Buffer.concat([patched(file('a'), 156, 'S'), END]),
    'size that is not octal': Buffer.concat([patched(file('a'), 124, '0000009zzzz'), END]),
    'negative size': Buffer.concat([
      patched(file('a'), 124, '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff'),
      END,
    ]),
    'name that is not UTF-8': Buffer.concat([patched(file('a'), 0, '\xff\xfe'), END]),
    'pax with a wrong length': pax('99 path=x\n'),
    'pax without a value': pax('7 path\n'),
    'pax with a negative size': pax(paxRecord('size', '-1')),
    'pax size that is no number': pax(paxRecord('size', '1e3')),
    'sparse file': pax(paxRecord('GNU.sparse.major', '1')),
    'zero byte in a name': pax(paxRecord('path', 'a\0b')),
    'pax at the end': Buffer.concat([pax(paxRecord('path', 'x')).subarray(0, 1024), END]),
    'global header that renames': pax(paxRecord('path', 'x'), 'g'),
  }
  for (const [name, bytes] of Object.entries(cases))
    await assert.rejects(names(bytes), INVALID, name)
})

test('a global comment is let pass, GNU long names and numbers are read', async () => {
  assert.deepEqual(await names(pax(paxRecord('comment', 'x'), 'g')), ['a'])
  const long = 'l'.repeat(150)
  const longName = Buffer.concat([
    patched(file('././@LongLink', 151), 156, 'L'),
    Buffer.from(`${long}\0`),
    Buffer.alloc(361),
    file('l'),
    END,
  ])
  assert.deepEqual(await names(longName), [long])
  const big = new TarReader(
    cut(Buffer.concat([patched(file('a'), 108, '\x80\0\0\0\0\x20\0\0'), END]), 512),
  )
  assert.equal((await big.next())?.uid, 2 ** 21)
})

test('limits', async () => {
  const many = Buffer.concat([file('a'), file('b'), file('c'), END])
  const limits = { maxEntries: 2, maxHeaderBytes: 100, maxPathBytes: 10 }
  const reader = new TarReader(cut(many, 512), limits)
  await reader.next()
  await reader.next()
  await assert.rejects(reader.next(), { code: 'TOO_LARGE' })
  await assert.rejects(
    new TarReader(cut(pax(paxRecord('comment', 'x'.repeat(200))), 512), limits).next(),
    { code: 'TOO_LARGE' },
  )
  await assert.rejects(new TarReader(cut(file('a'.repeat(11)), 512), limits).next(), {
    code: 'TOO_LARGE',
  })
})

function pax(records: string, typeflag = 'x'): Buffer {
  const body = Buffer.from(records)
  const padded = Buffer.concat([body, Buffer.alloc((512 - (body.length % 512)) % 512)])
  return Buffer.concat([patched(file('pax', body.length), 156, typeflag), padded, file('a'), END])
}
