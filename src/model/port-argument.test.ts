import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expandPort } from './port-argument.ts'

test('$PORT and ${PORT} are replaced, longer names are not', () => {
  const argv = ['a', '0.0.0.0:$PORT', '--port=${PORT}', '$PORTAL', '$HOME', '$PORT$PORT']
  assert.deepEqual(expandPort(argv, 81), [
    'a',
    '0.0.0.0:81',
    '--port=81',
    '$PORTAL',
    '$HOME',
    '8181',
  ])
})
