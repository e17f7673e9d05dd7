import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseStanzas } from './control-stanza.ts'

test('paragraphs, continuations and comments', () => {
  const text = 'A: 1\n# no\nB-c:\n  two\n .\n\n\n\nA: 3\r\n'
  assert.deepEqual(
    parseStanzas(text).map((stanza) => Object.fromEntries(stanza)),
    [{ a: '1', 'b-c': '\n two\n.' }, { a: '3' }],
  )
})

test('broken lines are named', () => {
  assert.throws(() => parseStanzas('A: 1\nnonsense'), /line 2/)
  assert.throws(() => parseStanzas(' A: 1'), /line 1/)
  assert.throws(() => parseStanzas('A: 1\na: 2'), /line 2 repeats/)
})

test('any text gives paragraphs or a SyntaxError', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', 'b', ':', ' ', '\n', '\t', '#', '.', '\r') }),
      (text) => {
        try {
          for (const stanza of parseStanzas(text)) assert.ok(stanza.size > 0)
        } catch (error) {
          assert.ok(error instanceof SyntaxError)
        }
      },
    ),
  )
})
