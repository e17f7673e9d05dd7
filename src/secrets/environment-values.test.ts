import assert from 'node:assert/strict'
import { createCipheriv, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { parseAppName, parseEnvironmentName, type AppRef } from '../model/names.ts'
import { Secret, type EnvironmentKeys } from '../model/secrets.ts'
import type { EnvironmentValueRecord, EnvironmentValueStore } from '../model/store.ts'
import { StoredEnvironmentValues } from './environment-values.ts'

const of = (environment: string): AppRef => ({
  app: parseAppName('shop'),
  environment: parseEnvironmentName(environment),
})

const withOtherEnd = (text: string): string => text.slice(0, -1) + (text.endsWith('A') ? 'E' : 'A')

/** Rows in memory; the port's own behaviour is test/store-suite.ts. */
function bed() {
  const rows = new Map<string, EnvironmentValueRecord>()
  const keyOf = (ref: AppRef, name: string): string => `${ref.environment} ${name}`
  const store: EnvironmentValueStore = {
    get: (ref, name) => Promise.resolve(rows.get(keyOf(ref, name)) ?? null),
    add: (record) => {
      const key = keyOf(record.ref, record.name)
      if (!rows.has(key)) rows.set(key, record)
      return Promise.resolve(rows.get(key) ?? record)
    },
    put: (record) => {
      rows.set(keyOf(record.ref, record.name), record)
      return Promise.resolve()
    },
    delete: (ref, name) => {
      rows.delete(keyOf(ref, name))
      return Promise.resolve()
    },
    list: () => Promise.resolve([...rows.values()]),
  }
  const identities = new Map<string, Secret>()
  const keys: EnvironmentKeys = {
    recipient: (ref) => {
      identities.set(ref.environment, Secret.of(randomBytes(32)))
      return Promise.resolve('age1')
    },
    identity: (ref) => Promise.resolve(identities.get(ref.environment) ?? null),
  }
  const options = { store, keys, now: () => 5, random: randomBytes }
  return { rows, values: new StoredEnvironmentValues(options) }
}

test('a value comes back for its environment and name, and the first one stays until it is replaced', async () => {
  const { values, rows } = bed()
  const production = of('production')
  assert.equal(await values.get(production, 'a'), null)
  const first = await values.add(production, 'a', Secret.of('planted-one'))
  assert.equal(first.revealText(), 'planted-one')
  const second = await values.add(production, 'a', Secret.of('planted-two'))
  assert.equal(second.revealText(), 'planted-one')
  await values.replace(production, 'a', Secret.of('planted-two'))
  assert.equal((await values.get(production, 'a'))?.revealText(), 'planted-two')
  assert.deepEqual(
    (await values.list('a')).map(({ name }) => name),
    ['a'],
  )
  assert.ok(!JSON.stringify([...rows.values()]).includes('planted'))
  await values.remove(production, 'a')
  assert.equal(await values.get(production, 'a'), null)
})

test('a row that was changed, or moved to another environment or name, does not open', async () => {
  const { values, rows } = bed()
  await values.add(of('production'), 'a', Secret.of('one'))
  await values.add(of('staging'), 'a', Secret.of('two'))
  const row = rows.get('production a')
  assert.ok(row !== undefined)
  const key = randomBytes(32)
  const cipher = createCipheriv('aes-256-gcm', key, Buffer.alloc(12))
  const forged = Buffer.concat([Buffer.alloc(12), cipher.update('x'), cipher.final()])
  for (const [place, change] of [
    ['production a', { sealed: withOtherEnd(row.sealed) }],
    ['production a', { sealed: `${row.sealed}.` }],
    [
      'production a',
      { sealed: `v1.${Buffer.concat([forged, cipher.getAuthTag()]).toString('base64url')}` },
    ],
    ['production a', { sealed: 'v2.x' }],
    ['production b', { name: 'b' }],
    ['staging a', { ref: of('staging') }],
  ] as const) {
    const changed = { ...row, ...change }
    rows.set(place, changed)
    await assert.rejects(values.get(changed.ref, changed.name), { code: 'SECRETS_TAMPERED' })
    rows.set('production a', row)
  }
  assert.equal((await values.get(of('production'), 'a'))?.revealText(), 'one')
})

test('fingerprints tell the same from another, and differ by environment', async () => {
  const { values } = bed()
  const one = await values.fingerprint(of('production'), 'x')
  assert.equal(await values.fingerprint(of('production'), 'x'), one)
  assert.notEqual(await values.fingerprint(of('production'), 'y'), one)
  assert.notEqual(await values.fingerprint(of('staging'), 'x'), one)
})
