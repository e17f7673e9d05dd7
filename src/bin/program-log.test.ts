import assert from 'node:assert/strict'
import { closeSync, existsSync, openSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { minimalEnv, start } from '../lib/process.ts'

const script = `
  import { programLog } from ${JSON.stringify(join(import.meta.dirname, 'program-log.ts'))}
  const log = programLog('server', 'info')
  for (let i = 0; i < 100; i++) log.info({ i }, 'a line that finds no room')
  setTimeout(() => process.exit(7), 100)
`

test(
  'a disk too full for the log does not end the program',
  { skip: existsSync('/dev/full') ? false : 'needs /dev/full' },
  async () => {
    const full = openSync('/dev/full', 'w')
    const child = await start(process.execPath, ['--input-type=module', '-e', script], {
      env: minimalEnv(),
      stdio: ['ignore', full, 'ignore'],
    }).finally(() => closeSync(full))
    const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
    const [code] = (await once(child, 'exit')) as [number | null]
    clearTimeout(late)
    assert.equal(code, 7)
  },
)
