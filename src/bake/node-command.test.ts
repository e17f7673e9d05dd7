import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCommand } from './node-command.ts'
import { parseManifest } from './package-manifest.ts'

const manifest = parseManifest(
  JSON.stringify({
    scripts: {
      start: 'node --enable-source-maps server.js',
      serve: 'http-server -p 8080 public',
      fancy: 'NODE_ENV=production node server.js && echo done',
    },
  }),
)

test('what needs npm or a shell at run time is turned into node itself', () => {
  const cases: readonly (readonly [readonly string[], readonly string[]])[] = [
    [
      ['node', 'a.js'],
      ['node', 'a.js'],
    ],
    [
      ['server.mjs', '--x'],
      ['node', 'server.mjs', '--x'],
    ],
    [
      ['npm', 'start'],
      ['node', '--enable-source-maps', 'server.js'],
    ],
    [
      ['npm', 'run', 'serve'],
      ['node', 'node_modules/.bin/http-server', '-p', '8080', 'public'],
    ],
    [
      ['yarn', 'start', '--port', '1'],
      ['node', '--enable-source-maps', 'server.js', '--port', '1'],
    ],
    [['verdaccio'], ['node', 'node_modules/.bin/verdaccio']],
    [
      ['npx', 'next', 'start'],
      ['node', 'node_modules/.bin/next', 'start'],
    ],
    [
      ['./bin/tool', 'x'],
      ['./bin/tool', 'x'],
    ],
  ]
  for (const [command, expected] of cases)
    assert.deepEqual(nodeCommand(command, manifest), expected)
})

test('a script that needs a shell, or that is not there, is an error that quotes it', () => {
  assert.throws(
    () => nodeCommand(['npm', 'run', 'fancy'], manifest),
    /NODE_ENV=production node server.js && echo done.* needs a shell/,
  )
  assert.throws(() => nodeCommand(['npm', 'run', 'gone'], manifest), /no script "gone"/)
})
