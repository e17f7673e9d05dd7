import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { openBytes, sealBytes } from './sealed-bytes.ts'

const key = randomBytes(32)
const bound = Buffer.from('shop')

test('opens for what it was sealed for, and for nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (clear) => {
      const sealed = sealBytes(clear, { key, bound }, randomBytes)
      assert.deepEqual(openBytes(sealed, { key, bound }), Buffer.from(clear))
      assert.equal(openBytes(sealed, { key, bound: Buffer.from('other') }), null)
      assert.equal(openBytes(sealed, { key: randomBytes(32), bound }), null)
    }),
  )
})

test('the same bytes, written in another way, are refused', () => {
  // 4 + 28 bytes and 6 + 28: two and four bits of the last character say nothing.
  for (const clear of ['four', 'values']) {
    const sealed = sealBytes(Buffer.from(clear), { key, bound }, randomBytes)
    const next = String.fromCharCode(sealed.charCodeAt(sealed.length - 1) + 1)
    const same = [
      `${sealed}=`,
      `${sealed} `,
      `${sealed}.x`,
      `\n${sealed}`,
      sealed.slice(0, -1) + next,
    ]
    for (const other of same) assert.equal(openBytes(other, { key, bound }), null, other)
  }
})

test('every changed byte, and every text that was cut off, is refused', () => {
  const sealed = Buffer.from(
    sealBytes(Buffer.from('value'), { key, bound }, randomBytes),
    'base64url',
  )
  for (const at of sealed.keys()) {
    const changed = Buffer.from(sealed)
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at)
    assert.equal(openBytes(changed.toString('base64url'), { key, bound }), null)
    assert.equal(openBytes(sealed.subarray(0, at).toString('base64url'), { key, bound }), null)
  }
})
