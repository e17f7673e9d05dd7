import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { FairwayError } from '../model/errors.ts'
import {
  cacheFolder,
  configPath,
  normalServer,
  readConfig,
  withServer,
  writeConfig,
} from './user-config.ts'

const home = mkdtempSync(join(tmpdir(), 'fairway-config-'))
after(() => {
  rmSync(home, { recursive: true, force: true })
})

test('written for its owner alone, also over a file that was open to others', async () => {
  const path = configPath({ env: {}, home })
  const empty = readConfig(path)
  await writeConfig(path, withServer(empty, 'http://a', { token: 't', name: 'ada' }))
  chmodSync(path, 0o644)
  await writeConfig(path, withServer(readConfig(path), 'http://b', { token: 'u', name: 'bob' }))
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700)
  assert.deepEqual(readConfig(path), {
    current: 'http://b',
    servers: { 'http://a': { token: 't', name: 'ada' }, 'http://b': { token: 'u', name: 'bob' } },
  })
})

test('folders of the XDG specification, whose relative values do not count', () => {
  const env = { XDG_CONFIG_HOME: '/c', XDG_CACHE_HOME: 'relative' }
  assert.equal(configPath({ env, home }), '/c/fairway/config.json')
  assert.equal(cacheFolder({ env, home }), join(home, '.cache/fairway'))
})

test('a broken file is named, not ignored', () => {
  const path = join(home, 'broken.json')
  for (const text of [
    '{',
    'null',
    '[]',
    '{"current":1,"servers":{}}',
    '{"current":null,"servers":{"a":{}}}',
  ]) {
    writeFileSync(path, text)
    assert.throws(
      () => readConfig(path),
      (error: unknown) => error instanceof FairwayError && error.message === `${path} is broken`,
    )
  }
})

test('one spelling per server', () => {
  for (const url of ['http://a', 'http://a/', 'http://A:80', 'http://a//']) {
    assert.equal(normalServer(url), 'http://a')
  }
  assert.equal(normalServer('https://a:8443/x/'), 'https://a:8443/x')
})
