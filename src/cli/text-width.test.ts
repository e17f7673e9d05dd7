import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { tableLines } from './table.ts'
import { clip, printable, textWidth } from './text-width.ts'

const any = fc.string({ unit: 'grapheme', maxLength: 40 })

test('clipped text never takes more cells than there are, and short text is left alone', () => {
  fc.assert(
    fc.property(any, fc.nat(50), (text, width) => {
      const safe = printable(text, false)
      const painted = `\x1b[31m${safe}\x1b[39m`
      assert.ok(textWidth(clip(safe, width)) <= width)
      assert.ok(textWidth(clip(painted, width)) <= width)
      if (textWidth(safe) <= width) assert.equal(clip(safe, width), safe)
    }),
  )
})

test('wide and combining characters', () => {
  assert.equal(textWidth('日本'), 4)
  assert.equal(textWidth('e\u0301'), 1)
  assert.equal(textWidth('✓ ok'), 4)
  assert.equal(clip('日本語', 4), '日…')
  assert.equal(clip('abc', 2), 'a…')
  assert.equal(clip('\x1b[1mabc\x1b[22m', 2), '\x1b[1ma…\x1b[0m')
})

test('what is printed holds no control characters, whatever an app writes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.boolean(), (text, colours) => {
      const shown = printable(text, colours).replace(/\x1b\[[0-9;]*m/g, '')
      assert.doesNotMatch(shown, /[\x00-\x1f\x7f-\x9f]/)
    }),
  )
})

for (const [text, plain, coloured] of [
  ['\x1b[31mred\x1b[0m', 'red', '\x1b[31mred\x1b[0m'],
  ['a\x1b[2Jb\x1b[1;1Hc', 'abc', 'abc'],
  ['\x1b]0;title\x07x', 'x', 'x'],
  ['\x1b]8;;http://evil\x1b\\link', 'link', 'link'],
  ['\x1bP1$r0m\x1b\\x', 'x', 'x'],
  ['a\tb\rc\x08d', 'a    bcd', 'a    bcd'],
  ['\x9b31mx', '31mx', '31mx'],
  ['\x00\x1b[1mx', 'x', '\x1b[1mx'],
] as const) {
  test(`${JSON.stringify(text)} as it is shown`, () => {
    assert.equal(printable(text, false), plain)
    assert.equal(printable(text, true), coloured)
  })
}

test('tables are aligned, leave out empty columns and keep to the width', () => {
  assert.deepEqual(
    tableLines(
      ['A', 'BB', 'C'],
      [
        ['xxx', '', '1'],
        ['y', '', '2'],
      ],
      Infinity,
    ),
    ['A    C', 'xxx  1', 'y    2'],
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(any, any, any), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 10, max: 120 }),
      (rows, width) => {
        const safe = rows.map((row) => row.map((cell) => printable(cell, false)))
        for (const line of tableLines(['ONE', 'TWO', 'THREE'], safe, width)) {
          assert.ok(textWidth(line) <= width)
        }
      },
    ),
  )
})
