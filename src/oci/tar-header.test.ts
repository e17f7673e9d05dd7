import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeHeader, paxRecord, type TarHeader } from './tar-header.ts'
import { TarReader } from './tar-reader.ts'

const component = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
  .map((text) => text.replace(/[/\0]/g, '_'))
  .filter((text) => text.isWellFormed() && text !== '.' && text !== '..' && text !== '')
const path = fc
  .array(component, { minLength: 1, maxLength: 8 })
  .map((parts) => parts.join('/'))
  .filter((text) => Buffer.byteLength(text) < 4000)

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
  yield bytes
}

test('any header reads back as it was written', async () => {
  const header: fc.Arbitrary<TarHeader> = fc.record({
    typeflag: fc.constantFrom('1', '2', '5'),
    path,
    linkpath: path,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.integer({ min: 0, max: 2 ** 31 }),
    gid: fc.integer({ min: 0, max: 2 ** 31 }),
    size: fc.constant(0),
    mtime: fc.integer({ min: 0, max: 2 ** 34 }),
  })
  await fc.assert(
    fc.asyncProperty(header, async (written) => {
      const bytes = Buffer.concat([encodeHeader(written), Buffer.alloc(1024)])
      assert.equal(bytes.length % 512, 0)
      const read = await new TarReader(once(bytes)).next()
      assert.ok(read !== null)
      assert.equal(read.path, written.typeflag === '5' ? `${written.path}/` : written.path)
      assert.equal(read.linkpath, written.linkpath)
      const { mode, uid, gid, mtime } = written
      assert.deepEqual(
        { mode: read.mode, uid: read.uid, gid: read.gid, mtime: read.mtime },
        { mode, uid, gid, mtime },
      )
    }),
    { numRuns: 300 },
  )
})

test('plain names need one block, long and foreign ones get a pax header', () => {
  const at = (name: string): number =>
    encodeHeader({
      typeflag: '0',
      path: name,
      linkpath: '',
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: 0,
      mtime: 0,
    }).length
  assert.equal(at('a'.repeat(100)), 512)
  assert.equal(at(`${'a'.repeat(155)}/${'b'.repeat(100)}`), 512)
  assert.equal(at('a'.repeat(101)), 1536)
  assert.equal(at('ä'), 1536)
})

test('a pax record counts itself, also where one more digit is needed', () => {
  for (let length = 1; length < 1100; length += 1) {
    const record = paxRecord('k', 'x'.repeat(length))
    assert.equal(Number(record.split(' ', 1)[0]), record.length)
  }
})
