import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Digest } from '../model/release.ts'
import { decodeFrames, encodeFrameHeader } from './content-frames.ts'

const HEX = 'a'.repeat(64)

test('frames come out as they went in, however the bytes are cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 120 })),
      async (contents, sizes) => {
        const whole = Buffer.concat(
          contents.flatMap((bytes) => [encodeFrameHeader(digestOf(bytes), bytes.length), bytes]),
        )
        const found: [string, Buffer][] = []
        for await (const { digest, body } of decodeFrames(cut(whole, sizes))) {
          found.push([digest, await collected(body)])
        }
        assert.deepEqual(
          found,
          contents.map((bytes) => [digestOf(bytes), Buffer.from(bytes)]),
        )
      },
    ),
  )
})

test('an end anywhere but between frames is an error', async () => {
  const bytes = Buffer.from('hello')
  const whole = Buffer.concat([encodeFrameHeader(digestOf(bytes), 5), bytes])
  for (let end = 1; end < whole.length; end += 1) {
    await assert.rejects(drain(whole.subarray(0, end)), { code: 'INVALID_REQUEST' }, String(end))
  }
  assert.equal(await drain(whole), 1)
  assert.equal(await drain(new Uint8Array(0)), 0)
})

test('what a reader leaves of a body is skipped', async () => {
  const bytes = Buffer.from('hello')
  const frame = Buffer.concat([encodeFrameHeader(digestOf(bytes), 5), bytes])
  const sizes: number[] = []
  for await (const { size } of decodeFrames(chunks(frame, frame))) sizes.push(size)
  assert.deepEqual(sizes, [5, 5])
})

for (const header of [
  'hello\n',
  `${HEX}\n`,
  `${HEX} -1\n`,
  `${HEX} 01\n`,
  `${HEX} 1e3\n`,
  `${HEX}  1\n`,
  `${HEX.toUpperCase()} 1\n`,
  `${HEX} 9999999999999999\n`,
  `${HEX} 1\r\n`,
  '\n',
  'a'.repeat(10_000),
]) {
  test(`the header ${JSON.stringify(header.slice(-24))} is refused`, async () => {
    await assert.rejects(drain(Buffer.from(`${header}x`)), { code: 'INVALID_REQUEST' })
  })
}

function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

async function* chunks(...all: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const chunk of all) yield await Promise.resolve(chunk)
}

async function* cut(whole: Uint8Array, sizes: fc.Stream<number>): AsyncGenerator<Uint8Array> {
  let at = 0
  while (at < whole.length) {
    const size: unknown = sizes.next().value
    const end = at + (typeof size === 'number' ? size : 1)
    yield await Promise.resolve(whole.subarray(at, end))
    at = end
  }
}

async function collected(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of body) all.push(chunk)
  return Buffer.concat(all)
}

async function drain(bytes: Uint8Array): Promise<number> {
  let count = 0
  for await (const { body } of decodeFrames(chunks(bytes))) {
    await collected(body)
    count += 1
  }
  return count
}
