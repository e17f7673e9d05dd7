import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { readPackageSources } from './package-sources.ts'

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fairway-sources-'))
})
after(() => rm(folder, { recursive: true, force: true }))

test('the host’s npm tells the registry', async () => {
  const { env } = await readPackageSources({
    PATH: process.env['PATH'],
    HOME: folder,
    npm_config_registry: 'https://registry.example/npm/',
  })
  assert.equal(env['npm_config_registry'], 'https://registry.example/npm/')
})

// npm 9 tells such an address, npm 11 says that it is protected.
test('a login in the address of the registry goes nowhere', async () => {
  const said = await readPackageSources({
    PATH: process.env['PATH'],
    HOME: folder,
    npm_config_registry: 'https://me:hunter2@registry.example/npm/',
  }).then(
    ({ env }) => JSON.stringify(env),
    (error: unknown) => String(error),
  )
  assert.match(said, /registry/)
  assert.doesNotMatch(said, /hunter2/)
})

test('a host without npm and pip has no settings of theirs', async () => {
  const { env } = await readPackageSources({ PATH: folder, HOME: folder })
  assert.deepEqual(env, {})
})

test('what the environment says of pip holds without pip, and goes before its files', async () => {
  const told = {
    HOME: folder,
    PIP_INDEX_URL: 'http://me:hunter2@pypi.example/simple/',
    PIP_TRUSTED_HOST: 'pypi.example',
  }
  const expected = {
    PIP_INDEX_URL: 'http://pypi.example/simple/',
    PIP_TRUSTED_HOST: 'pypi.example',
  }
  const { env } = await readPackageSources({ PATH: folder, ...told })
  assert.deepEqual(env, expected)
  const pip = `#!/bin/sh\necho "global.index-url='https://files.example/'"\n`
  const programs = join(folder, 'pip-only')
  await mkdir(programs)
  await writeFile(join(programs, 'pip3'), pip, { mode: 0o755 })
  const both = await readPackageSources({ PATH: programs, ...told })
  assert.deepEqual(both.env, expected)
  const alone = await readPackageSources({ PATH: programs, HOME: folder })
  assert.deepEqual(alone.env, { PIP_INDEX_URL: 'https://files.example/' })
})

// A real npm does not break on request: this stands for one whose Node is too old or whose files are damaged.
test('an npm that fails is named, with what it said', async () => {
  await writeFile(join(folder, 'npm'), '#!/bin/sh\necho damaged >&2; exit 3\n', { mode: 0o755 })
  await assert.rejects(readPackageSources({ PATH: `${folder}:/usr/bin:/bin`, HOME: folder }), {
    code: 'PACKAGE_UNAVAILABLE',
    message: 'npm does not tell its settings: npm: exit 3: damaged',
  })
})
