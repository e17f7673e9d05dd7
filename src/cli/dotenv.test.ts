import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDotenv } from './dotenv.ts'

test('bare, quoted and exported values, comments and line ends', () => {
  const text = [
    '# comment',
    '',
    'A=1',
    'export B = two words  # trailing',
    "C='$raw # kept\nsecond'",
    'D="a\\n\\"b\\" \\\\ $x"\r',
    'E=',
    'F=a#b',
    'G=-',
  ].join('\n')
  assert.deepEqual(parseDotenv(text, '.env'), {
    A: '1',
    B: 'two words',
    C: '$raw # kept\nsecond',
    D: 'a\n"b" \\ $x',
    E: '',
    F: 'a#b',
    G: '-',
  })
})

test('an error names file and line and shows no value', () => {
  assert.throws(
    () => parseDotenv('A=1\nnot a line secret', 'x.env'),
    (error: unknown) => {
      assert.ok(error instanceof Error)
      assert.match(error.message, /^x\.env:2: expected NAME=VALUE$/)
      return true
    },
  )
})
