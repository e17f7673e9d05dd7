import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { splitCommand } from './split-command.ts'

function argv(text: string): readonly string[] {
  const result = splitCommand(text)
  assert.ok(result.ok, JSON.stringify(result))
  return result.argv
}

test('splits like a shell, with quotes and backslashes', () => {
  assert.deepEqual(argv(`a "b c" 'd "e"' f\\ g h"i"j "" "x\\"y\\n"`), [
    'a',
    'b c',
    'd "e"',
    'f g',
    'hij',
    '',
    'x"y\\n',
  ])
  assert.deepEqual(argv('gunicorn app:app --bind "0.0.0.0:$PORT" -p ${PORT}'), [
    'gunicorn',
    'app:app',
    '--bind',
    '0.0.0.0:$PORT',
    '-p',
    '${PORT}',
  ])
})

test('what needs a shell is refused by name', () => {
  for (const text of [
    'a | b',
    'a && b',
    'a; b',
    'a > b',
    'a $HOME',
    'a "$HOME"',
    'a `b`',
    'a *',
    '~/a',
    'A=1 b',
    'a\nb',
    '$(a)',
    '$PORTAL',
  ])
    assert.equal(splitCommand(text).ok, false, text)
  for (const text of ['', '  ', "a 'b", 'a "b', 'a \\'])
    assert.equal(splitCommand(text).ok, false, text)
})

test('any list of words comes back when it is quoted', () => {
  const word = fc.string({
    minLength: 1,
    unit: fc.constantFrom('a', "'", '"', '\\', ' ', '$', '`', '*', '~', '#', '|', 'é'),
  })
  fc.assert(
    fc.property(fc.array(word, { minLength: 1 }), (words) => {
      const text = words.map((each) => `'${each.replaceAll("'", `'\\''`)}'`).join(' ')
      const result = splitCommand(text)
      assert.ok(result.ok)
      assert.deepEqual(result.argv, words)
    }),
  )
})
