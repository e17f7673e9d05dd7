import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createDataFolder, dataFolder } from './data-folder.ts'

test('a folder whose control socket would have too long a path is refused by name, and not made', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'fairway-data-'))
  try {
    const long = join(parent, 'x'.repeat(100))
    await assert.rejects(createDataFolder(dataFolder(long)), {
      code: 'INVALID_REQUEST',
      message: /x cannot be the data directory: its path is \d+ bytes too long/,
    })
    await assert.rejects(stat(long), { code: 'ENOENT' })
    await createDataFolder(dataFolder(join(parent, 'short')))
  } finally {
    await rm(parent, { recursive: true, force: true })
  }
})
