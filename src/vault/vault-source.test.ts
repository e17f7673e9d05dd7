import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock as clock } from '../lib/clock.ts'
import { silentLog as log } from '../lib/log.ts'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import type { EnvironmentValues } from '../model/secrets.ts'
import { VaultSource } from './vault-source.ts'

const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
const references = [{ kind: 'vault', path: 'secret/shop/db', key: 'password' }] as const

const noValues: EnvironmentValues = {
  get: () => Promise.resolve(null),
  add: (_ref, _name, value) => Promise.resolve(value),
  replace: () => Promise.resolve(),
  remove: () => Promise.resolve(),
  list: () => Promise.resolve([]),
  fingerprint: () => Promise.resolve(''),
}

test('what no rule names is asked for by nobody: neither at a start nor for instances of an earlier server', async () => {
  const asked: string[] = []
  const source = new VaultSource({
    address: 'http://127.0.0.1:9',
    namespace: null,
    auth: { method: 'token', tokenFile: 'token' },
    rules: [{ app: 'shop', environment: 'production', words: ['secret/other/'] }],
    refreshMs: 60_000,
    values: noValues,
    // Stands for the network: what counts is that it is never used.
    fetch: (url) => {
      asked.push(url)
      return Promise.reject(new TypeError('no network'))
    },
    readFile: () => Promise.resolve('token'),
    clock,
    log,
    random: () => 0.5,
  })
  await assert.rejects(source.open(ref, references), { code: 'SECRETS_CLOSED' })
  const watching = new AbortController()
  for await (const { trouble } of source.watch(ref, references, watching.signal)) {
    assert.match(trouble ?? '', /no rule of this server names it/)
    watching.abort()
  }
  await source.close()
  assert.deepEqual(asked, [])
})
