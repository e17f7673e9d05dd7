import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { leaseFiles } from './lease-files.ts'

test('leases are found beside root filesystems, which are not entered', async () => {
  const runDir = await mkdtemp(join(tmpdir(), 'fairway-leases-'))
  try {
    const root = join(runDir, 'instances/web-1/root')
    for (const folder of ['spare', 'exits', 'steps/s1', 'instances/web-1/root/www']) {
      await mkdir(join(runDir, folder), { recursive: true })
    }
    // What a hostile app would put there: records of its own and ways that never end.
    await writeFile(join(root, 'lease.json'), 'not a lease')
    for (const name of ['a', 'b', 'c']) await symlink(runDir, join(root, name))
    for (const file of ['spare/x.json', 'spare/x.json.tmp', 'steps/s1/lease.json']) {
      await writeFile(join(runDir, file), '{}')
    }
    await writeFile(join(runDir, 'instances/web-1/lease.json'), '{}')
    assert.deepEqual(
      (await leaseFiles(runDir)).map((file) => file.slice(runDir.length + 1)),
      ['spare/x.json', 'instances/web-1/lease.json', 'steps/s1/lease.json'],
    )
  } finally {
    await rm(runDir, { recursive: true, force: true })
  }
})

test('there may be none yet', async () => {
  assert.deepEqual(await leaseFiles(join(tmpdir(), 'fairway-no-such-folder')), [])
})
