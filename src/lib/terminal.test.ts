import assert from 'node:assert/strict'
import { test } from 'node:test'
import { terminalCommand } from './terminal.ts'

test('script(1) of Linux gets constant text, the words travel in variables', () => {
  assert.deepEqual(terminalCommand('linux', ['sh', '-c', 'a; b']), {
    args: [
      '-q',
      '-e',
      '-f',
      '-c',
      'exec "$FAIRWAY_WORD_0" "$FAIRWAY_WORD_1" "$FAIRWAY_WORD_2"',
      '/dev/null',
    ],
    env: { FAIRWAY_WORD_0: 'sh', FAIRWAY_WORD_1: '-c', FAIRWAY_WORD_2: 'a; b' },
  })
})

test('script(1) of macOS and the BSDs takes the words as they are', () => {
  assert.deepEqual(terminalCommand('darwin', ['sh', '-c', 'a; b']), {
    args: ['-q', '/dev/null', 'sh', '-c', 'a; b'],
    env: {},
  })
})
