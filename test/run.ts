/**
 * `npm test`: every *.test.ts; `npm run test:all` adds *.all.test.ts, the suites that need more than npm and Debian; with `-- --added` only those.
 * Further arguments select files whose path contains one of them.
 */
import { globSync } from 'node:fs'
import { spec } from 'node:test/reporters'
import { run } from 'node:test'
import { resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const all = process.argv.includes('--all')
const onlyAdded = process.argv.includes('--added')
const named = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts'], { cwd: root })
  .filter((file) => (file.endsWith('.all.test.ts') ? all : !onlyAdded))
  .filter((file) => named.length === 0 || named.some((name) => file.includes(name)))
  .sort()
  .map((file) => resolve(root, file))

/** For what hangs: no file needs a quarter of it, but a machine may be four times as slow while it does other things too. */
const FILE_MS = 1_800_000

const stream = run({ files, concurrency: 2, timeout: FILE_MS })
stream.on('test:fail', (event) => {
  if (event.todo === undefined || event.todo === false) process.exitCode = 1
})
stream.compose(spec).pipe(process.stdout)
