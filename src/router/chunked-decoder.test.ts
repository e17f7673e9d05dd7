import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ChunkedDecoder } from './chunked-decoder.ts'

interface Decoded {
  readonly body: string
  readonly state: 'broken' | 'done' | 'more'
  readonly taken: number
  readonly trailers: string
}

function decode(bytes: Buffer, ends: readonly number[]): Decoded {
  const decoder = new ChunkedDecoder()
  let body = ''
  const sink = {
    bodyData: (data: Buffer, from: number, to: number): void => {
      body += data.toString('latin1', from, to)
    },
  }
  let at = 0
  for (const end of [...ends, bytes.length]) {
    if (end <= at) continue
    at = decoder.consume(bytes, at, end, sink)
    if (at < 0) return { body, state: 'broken', taken: -1, trailers: '' }
    if (decoder.done) return { body, state: 'done', taken: at, trailers: decoder.trailers }
  }
  return { body, state: 'more', taken: at, trailers: '' }
}

const chunk = fc
  .tuple(
    fc.string({ minLength: 1, maxLength: 20 }),
    fc.constantFrom('', ';a', ';a=b', ';a="b;c"'),
    fc.boolean(),
  )
  .map(([data, extension, upper]) => {
    const bytes = Buffer.from(data, 'utf8').toString('latin1')
    const size = bytes.length.toString(16)
    return {
      data: bytes,
      wire: `${upper ? size.toUpperCase() : `0${size}`}${extension}\r\n${bytes}\r\n`,
    }
  })
const message = fc.tuple(fc.array(chunk, { maxLength: 5 }), fc.constantFrom('', 'X-T: 1\r\n'))
const junk = fc.constantFrom('\n', '\r', ' ', '0', '5', ';', 'g', '\0', '\r\n', '-', '+', '0x')

test('what was chunked comes back, however it is cut', () => {
  fc.assert(
    fc.property(message, fc.array(fc.nat(200), { maxLength: 5 }), ([chunks, trailer], cuts) => {
      const wire = Buffer.from(
        `${chunks.map((one) => one.wire).join('')}0\r\n${trailer}\r\nNEXT`,
        'latin1',
      )
      const whole = decode(wire, [])
      assert.equal(whole.state, 'done')
      assert.equal(whole.body, chunks.map((one) => one.data).join(''))
      assert.equal(whole.trailers, trailer)
      assert.equal(whole.taken, wire.length - 4)
      assert.deepEqual(
        decode(
          wire,
          cuts.filter((cut) => cut < wire.length).sort((a, b) => a - b),
        ),
        whole,
      )
      assert.deepEqual(
        decode(
          wire,
          Array.from(wire, (_, index) => index + 1),
        ),
        whole,
      )
    }),
    { numRuns: 1000 },
  )
})

test('damaged coding gives the same result however it is cut', () => {
  fc.assert(
    fc.property(message, fc.nat(60), junk, ([chunks, trailer], at, what) => {
      const good = `${chunks.map((one) => one.wire).join('')}0\r\n${trailer}\r\n`
      const wire = Buffer.from(good.slice(0, at) + what + good.slice(at), 'latin1')
      assert.deepEqual(
        decode(
          wire,
          Array.from(wire, (_, index) => index + 1),
        ),
        decode(wire, []),
      )
    }),
    { numRuns: 2000 },
  )
})

test('sizes, extensions and trailers are bounded and strict', () => {
  const broken = [
    '\r\n',
    'g\r\n',
    '0x5\r\nhello\r\n',
    '-1\r\n',
    '+5\r\nhello\r\n',
    ' 5\r\nhello\r\n',
    '5 \r\nhello\r\n',
    '5\nhello\n',
    '5\r\nhelloX\r\n',
    '5\r\nhello\n0\r\n\r\n',
    '5\r\nhello\r0\r\n\r\n',
    '5;a\nhello\r\n',
    `5;${'a'.repeat(300)}\r\nhello\r\n`,
    'ffffffffffffffff\r\n',
    '00000000000000005\r\nhello\r\n',
    '0\r\nX T: 1\r\n\r\n',
    '0\r\n folded\r\n\r\n',
    '0\r\nX: \0\r\n\r\n',
    '0\r\nX: 1\n\r\n',
    `0\r\nX: ${'a'.repeat(9000)}\r\n\r\n`,
    '1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n'.repeat(
      120,
    ),
  ]
  for (const wire of broken) {
    assert.equal(
      decode(Buffer.from(wire, 'latin1'), []).state,
      'broken',
      JSON.stringify(wire.slice(0, 40)),
    )
  }
})

test('trailers cannot set framing, routing or identity', () => {
  const wire =
    '0\r\nX-Sum: 1\r\nContent-Length: 5\r\nHost: b\r\nX-Forwarded-For: 1\r\nAuthorization: x\r\n\r\n'
  assert.equal(decode(Buffer.from(wire), []).trailers, 'X-Sum: 1\r\n')
})
