import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import {
  cachedCredential,
  credentialOf,
  EARLY_MS,
  execCredential,
  execVersion,
  tokenFile,
} from './kube-token-cache.ts'

const SERVER = 'http://127.0.0.1:7070'
const ARGV = ['kube-token', '--server', SERVER, '--target', 'prod']
const TOKEN = `fwy_abcdefghijkl_${'x'.repeat(43)}`
const NOW = 1_700_000_000_000
const WISH = { server: SERVER, target: 'prod', environment: null }

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'fairway-kube-token-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

async function cache(expiresAt: number, mode = 0o600): Promise<string> {
  const path = tokenFile(WISH, 'fwy_abcdefghijkl', { env: {}, home })
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, JSON.stringify({ token: 'cached', expiresAt }), { mode })
  await chmod(path, mode)
  return path
}

const start = (env: Readonly<Record<string, string>> = { FAIRWAY_TOKEN: TOKEN }) => ({
  env,
  home,
  now: NOW,
})

test('a cached token is printed in the version that kubectl asks in, as ending early', async () => {
  await cache(NOW + 100_000)
  for (const version of ['v1', 'v1beta1']) {
    const apiVersion = `client.authentication.k8s.io/${version}`
    const info = JSON.stringify({ apiVersion, kind: 'ExecCredential', spec: {} })
    const text = cachedCredential(ARGV, start({ FAIRWAY_TOKEN: TOKEN, KUBERNETES_EXEC_INFO: info }))
    assert.deepEqual(JSON.parse(text ?? ''), {
      apiVersion,
      kind: 'ExecCredential',
      status: {
        token: 'cached',
        expirationTimestamp: new Date(NOW + 100_000 - EARLY_MS).toISOString(),
      },
    })
  }
})

test('a token that ends soon, or that others may read, is not there', async () => {
  await cache(NOW + EARLY_MS)
  assert.equal(cachedCredential(ARGV, start()), null)
  await cache(NOW + 100_000, 0o640)
  assert.equal(cachedCredential(ARGV, start()), null)
})

test('another login, server, cluster or environment finds nothing', async () => {
  await cache(NOW + 100_000)
  assert.notEqual(cachedCredential(ARGV, start()), null)
  const other = start({ FAIRWAY_TOKEN: TOKEN.replace('abc', 'xyz') })
  assert.equal(cachedCredential(ARGV, other), null)
  assert.equal(cachedCredential(ARGV, start({})), null)
  assert.equal(cachedCredential(ARGV.with(4, 'staging'), start()), null)
  assert.equal(cachedCredential(ARGV.with(2, 'http://127.0.0.1:7071'), start()), null)
  assert.equal(cachedCredential([...ARGV, '--env', 'staging'], start()), null)
})

test('names cannot lead out of the cache', () => {
  const wish = { server: SERVER, target: '../../x', environment: '/etc/passwd' }
  const path = tokenFile(wish, 'fwy_a', { env: {}, home: '/home/ann' })
  assert.equal(dirname(path), '/home/ann/.cache/fairway/kube')
})

test('a command line of another form, and a broken file, are for the command itself', async () => {
  const path = await cache(NOW + 100_000)
  for (const argv of [['kube-token'], [...ARGV, '--json'], ['kube-token', '--help'], []])
    assert.equal(cachedCredential(argv, start()), null)
  await writeFile(path, 'not json')
  assert.equal(cachedCredential(ARGV, start()), null)
})

test('the login is that of the server', async () => {
  await mkdir(join(home, '.config/fairway'), { recursive: true })
  const servers = { [SERVER]: { token: TOKEN, name: 'ann' } }
  await writeFile(
    join(home, '.config/fairway/config.json'),
    JSON.stringify({ current: SERVER, servers }),
  )
  assert.equal(credentialOf(SERVER, { env: {}, home }), 'fwy_abcdefghijkl')
  assert.equal(credentialOf('http://elsewhere', { env: {}, home }), null)
  const env = { FAIRWAY_TOKEN: 'fws_zyx_secret' }
  assert.equal(credentialOf(SERVER, { env, home }), 'fws_zyx')
})

test('an unknown version of the plugin protocol is known as unknown', () => {
  assert.equal(execVersion(undefined), 'client.authentication.k8s.io/v1')
  assert.equal(
    execVersion('{"apiVersion":"client.authentication.k8s.io/v1alpha1","kind":"ExecCredential"}'),
    null,
  )
  const text = execCredential('client.authentication.k8s.io/v1', { token: 't', expiresAt: NOW })
  assert.ok(text.endsWith('}\n'))
})
