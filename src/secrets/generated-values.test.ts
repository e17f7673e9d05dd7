import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { parseAppName, parseEnvironmentName, refKey, type AppRef } from '../model/names.ts'
import type { EnvironmentValues, Secret } from '../model/secrets.ts'
import { GeneratedValues } from './generated-values.ts'

const of = (environment: string): AppRef => ({
  app: parseAppName('shop'),
  environment: parseEnvironmentName(environment),
})
const reference = { kind: 'generated', name: 'KEY', bytes: 32 } as const

/** Values in memory: what keeps them is tested by itself. */
function bed(): GeneratedValues {
  const kept = new Map<string, Secret>()
  const keyOf = (ref: AppRef, name: string): string => `${refKey(ref)} ${name}`
  const values: EnvironmentValues = {
    get: (ref, name) => Promise.resolve(kept.get(keyOf(ref, name)) ?? null),
    add: (ref, name, value) => {
      const found = kept.get(keyOf(ref, name)) ?? value
      kept.set(keyOf(ref, name), found)
      return Promise.resolve(found)
    },
    replace: (ref, name, value) => {
      kept.set(keyOf(ref, name), value)
      return Promise.resolve()
    },
    remove: () => Promise.resolve(),
    list: () => Promise.resolve([]),
    fingerprint: (_, text) => Promise.resolve(text),
  }
  return new GeneratedValues(values, randomBytes)
}

async function textOf(values: GeneratedValues, ref: AppRef): Promise<string> {
  const [value] = await values.open(ref, [reference])
  return value?.revealText() ?? ''
}

test('a value is made once per environment, of as many random bytes as asked for', async () => {
  const values = bed()
  const first = await textOf(values, of('production'))
  assert.equal(Buffer.from(first, 'base64url').length, 32)
  assert.match(first, /^[A-Za-z0-9_-]{43}$/)
  assert.equal(await textOf(values, of('production')), first)
  assert.notEqual(await textOf(values, of('staging')), first)
})

test('a rotated one is another one, and whoever watches is told', async () => {
  const values = bed()
  const ref = of('production')
  const first = await textOf(values, ref)
  const staging = await textOf(values, of('staging'))
  const ending = new AbortController()
  const states = values.watch(ref, [reference], ending.signal)[Symbol.asyncIterator]()
  const before = await states.next()
  const told = states.next()
  await values.rotate(ref, [reference])
  assert.notDeepEqual(await told, before)
  assert.notEqual(await textOf(values, ref), first)
  assert.equal(await textOf(values, of('staging')), staging)
  ending.abort()
  assert.equal((await states.next()).done, true)
})
