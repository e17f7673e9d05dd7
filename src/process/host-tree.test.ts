import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { sampleSpec } from '../../test/runner-suite.ts'
import { hostCommand } from './host-tree.ts'

test('paths of the image become paths of the host, everything else stays', async () => {
  const root = await mkdtemp(join(tmpdir(), 'fairway-tree-'))
  try {
    await mkdir(join(root, 'app/bin'), { recursive: true })
    await writeFile(join(root, 'app/server.js'), '')
    const image = {
      digest: 'sha256:00' as const,
      flavour: 'host' as const,
      command: [],
      env: { PATH: '/app/bin:/usr/bin', PYTHONPATH: '/app', SITE: '/not/there' },
      workingDir: '/app',
      user: '',
      port: null,
      sizeBytes: 0,
    }
    const spec = sampleSpec(image, ['node', '/app/server.js', '--data=/app', '/etc/passwd'])
    const command = hostCommand(spec, root, { path: '/bin', env: { HOME: '/tmp' } })
    assert.equal(command.cwd, join(root, 'app'))
    assert.deepEqual(command.argv, [
      'node',
      join(root, 'app/server.js'),
      '--data=/app',
      '/etc/passwd',
    ])
    assert.deepEqual(command.env, {
      PATH: `${join(root, 'app/bin')}:/bin`,
      PYTHONPATH: join(root, 'app'),
      SITE: '/not/there',
      HOME: '/tmp',
    })
    const escape = sampleSpec({ ...image, workingDir: '/../../..' }, ['node'])
    assert.equal(hostCommand(escape, root, { path: '', env: {} }).cwd, join(root, '/'))
  } finally {
    await rm(root, { recursive: true })
  }
})
