import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FairwayError } from '../model/errors.ts'
import { parseArguments } from './arguments.ts'
import type { OptionSpec } from './command.ts'

const OPTIONS: readonly OptionSpec[] = [
  { name: 'follow', short: 'f', summary: '' },
  { name: 'quiet', short: 'q', summary: '' },
  { name: 'lines', short: 'n', value: 'N', summary: '' },
  { name: 'grep', value: 'TEXT', summary: '' },
]

test('options stand anywhere, in every spelling, and the last one counts', () => {
  const args = parseArguments(
    ['a', '-fq', '-n', '1', '-n2', '--lines=3', 'b', '--grep', '-', '-', '--', '-x', '--grep'],
    OPTIONS,
  )
  assert.deepEqual(args.positionals, ['a', 'b', '-'])
  assert.deepEqual(args.rest, ['-x', '--grep'])
  assert.ok(args.flag('follow') && args.flag('quiet'))
  assert.equal(args.integer('lines', 0), 3)
  assert.equal(args.value('grep'), '-')
  assert.equal(parseArguments(['--grep=--x='], OPTIONS).value('grep'), '--x=')
  assert.equal(parseArguments([], OPTIONS).rest, null)
})

for (const [argv, message, hint] of [
  [['--folow'], /unknown option --folow/, /Did you mean --follow\?/],
  [['-x'], /unknown option -x/, null],
  [['-fx'], /unknown option -x/, null],
  [['--grep'], /--grep needs a value: --grep TEXT/, null],
  [['--grep', '--follow'], /--grep needs a value/, null],
  [['-n'], /-n needs a value: -n N/, null],
  [['--follow=yes'], /--follow takes no value/, null],
] as const) {
  test(`${argv.join(' ')} is refused`, () => {
    assert.throws(
      () => parseArguments(argv, OPTIONS),
      (error: unknown) => {
        assert.ok(error instanceof FairwayError)
        assert.match(error.message, message)
        if (hint !== null) assert.match(error.hint, hint)
        return error.code === 'INVALID_REQUEST'
      },
    )
  })
}

for (const text of ['-1', '1.5', 'x', '', '1e3', '99999999999999999999']) {
  test(`--lines=${text} is no whole number`, () => {
    assert.throws(
      () => parseArguments([`--lines=${text}`], OPTIONS).integer('lines', 0),
      /--lines must be/,
    )
  })
}
