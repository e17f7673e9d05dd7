import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { apiUrl, asEnvironment, readConfig } from './config.ts'

const files = { FAIRWAY_TLS_CERT: '/c.pem', FAIRWAY_TLS_KEY: '/k.pem' }

test('every variable is described in docs/operating.md', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/operating.md'), 'utf8')
  const described = page.slice(page.indexOf('## Settings'))
  for (const name of Object.keys(asEnvironment(readConfig(files)))) {
    assert.ok(described.includes(`\`${name}\``), name)
  }
})

test('what is passed on is read as the same configuration', () => {
  const config = readConfig({ ...files, FAIRWAY_HTTPS_PORT: 'off', FAIRWAY_HOST_NAMES: 'a,b' })
  assert.deepEqual(readConfig(asEnvironment(config)), config)
  assert.equal(config.database, null)
  const shared = readConfig({ FAIRWAY_DATABASE: 'postgresql://a:b@c/d' })
  assert.equal(shared.database, 'postgresql://a:b@c/d')
  assert.deepEqual(readConfig(asEnvironment(shared)), shared)
})

test('keys of environments are passed on, with the credentials of the clouds that they are kept in and no others', () => {
  const FAIRWAY_SECRETS_KEYS =
    '*/production=arn:aws:kms:eu-west-1:123456789012:key/{app} age; */*=age'
  const clouds = { AWS_PROFILE: 'fairway', GOOGLE_OAUTH_ACCESS_TOKEN: 'planted' }
  const passed = asEnvironment(readConfig({ FAIRWAY_SECRETS_KEYS, ...clouds }))
  assert.equal(passed['FAIRWAY_SECRETS_KEYS'], FAIRWAY_SECRETS_KEYS)
  assert.equal(passed['AWS_PROFILE'], 'fairway')
  assert.ok(!JSON.stringify(passed).includes('planted'))
  const vault = { FAIRWAY_SECRETS_KEYS: '*/*=https://vault.example.com/v1/transit/keys/a' }
  assert.throws(() => readConfig(vault), { message: /the server needs a login there/ })
})

test('every wrong variable is named with what was expected', () => {
  assert.throws(() => readConfig({ FAIRWAY_API_PORT: 'abc', FAIRWAY_SUBNET: 'here' }), {
    code: 'INVALID_REQUEST',
    message: /FAIRWAY_API_PORT: expected a port number[^]*FAIRWAY_SUBNET: expected an IPv4 network/,
  })
})

test('a database that is neither is refused without showing what was given', () => {
  assert.throws(
    () => readConfig({ FAIRWAY_DATABASE: 'mysql://me:planted-9f3@host/db' }),
    (error) => {
      assert.match(String(error), /FAIRWAY_DATABASE: expected sqlite, or the URL of a PostgreSQL/)
      assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes('planted-9f3'))
      return true
    },
  )
})

test('a server that listens on every address is called on loopback', () => {
  const url = (host: string) => apiUrl(readConfig({ FAIRWAY_API_HOST: host }))
  assert.deepEqual(['0.0.0.0', '::', '127.0.0.1', '::1'].map(url), [
    'http://127.0.0.1:7070',
    'http://[::1]:7070',
    'http://127.0.0.1:7070',
    'http://[::1]:7070',
  ])
})
