import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { goingAwayFrame, WebsocketFrames } from './websocket-frames.ts'

const frame = fc
  .record({ length: fc.constantFrom(0, 1, 125, 126, 300, 65_536), masked: fc.boolean() })
  .map(({ length, masked }) => {
    const mask = masked ? 128 : 0
    const head =
      length < 126
        ? [0x82, mask | length]
        : length < 65_536
          ? [0x82, mask | 126, length >> 8, length & 255]
          : [
              0x82,
              mask | 127,
              0,
              0,
              0,
              0,
              0,
              (length >> 16) & 255,
              (length >> 8) & 255,
              length & 255,
            ]
    return Buffer.concat([
      Buffer.from(head),
      Buffer.alloc(masked ? 4 : 0),
      Buffer.alloc(length, 0x88),
    ])
  })

test('it knows when it stands between two frames, however they are cut', () => {
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 4 }), fc.nat(70_000), (frames, at) => {
      const bytes = Buffer.concat(frames)
      const cut = Math.min(at, bytes.length)
      const ends = new Set([0])
      let end = 0
      for (const one of frames) ends.add((end += one.length))
      const seen = new WebsocketFrames()
      seen.pass(bytes, 0, cut)
      assert.equal(seen.between, ends.has(cut))
      seen.pass(bytes, cut, bytes.length)
      assert.equal(seen.between, true)
    }),
  )
})

test('nothing is said after a close frame', () => {
  const seen = new WebsocketFrames()
  seen.pass(goingAwayFrame(Buffer.from([1, 2, 3, 4])), 0, 8)
  assert.equal(seen.between, false)
  assert.deepEqual([...goingAwayFrame(null)], [0x88, 2, 0x03, 0xe9])
})
