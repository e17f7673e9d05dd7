import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import { parseHost } from './host.ts'
import { internalService, Routes } from './routes.ts'

const route = (host: string, path: string, service: string) => ({ host, path, service })

test('exact before wildcard, longest path on segment borders', () => {
  const routes = new Routes(
    {
      revision: 1,
      services: [],
      routes: [
        route('a.test', '/', 'root'),
        route('a.test', '/api', 'api'),
        route('a.test', '/api/v2/', 'v2'),
        route('*.test', '/', 'wild'),
        route('b.test', '/only', 'only'),
      ],
    },
    [],
  )
  const cases: readonly (readonly [string, string, string | null])[] = [
    ['a.test', '/', 'root'],
    ['a.test', '/apiary', 'root'],
    ['a.test', '/api', 'api'],
    ['a.test', '/api?x=/', 'api'],
    ['a.test', '/api/v1', 'api'],
    ['a.test', '/api/v2/x', 'v2'],
    ['a.test', '/api/v2', 'api'],
    ['a.test', '/x/../api', 'api'],
    ['a.test', '//api', 'api'],
    ['a.test', '/api/%2e%2e/x', 'root'],
    ['a.test', '/x%2fapi', 'root'],
    ['a.test', '*', 'root'],
    ['c.test', '/', 'wild'],
    ['x.c.test', '/', null],
    ['b.test', '/only/x', 'only'],
    ['b.test', '/other', 'wild'],
    ['test', '/', null],
    ['.test', '/', null],
  ]
  for (const [host, target, service] of cases) {
    assert.equal(routes.find(host, target), service, `${host}${target}`)
  }
})

test('internal names mean the environment of the caller', () => {
  const caller = { app: parseAppName('shop'), environment: parseEnvironmentName('staging') }
  assert.equal(internalService('web.forms.internal', caller), 'forms/staging/web')
  assert.equal(internalService('forms.internal', caller), 'forms/staging/web')
  for (const host of [
    'internal',
    '.internal',
    'a.b.c.internal',
    'forms.test',
    'x_.forms.internal',
  ]) {
    assert.equal(internalService(host, caller), null, host)
  }
})

test('hosts are compared without case, port and final dot', () => {
  assert.equal(parseHost('A.Test.:8080'), 'a.test')
  assert.equal(parseHost('a.test:'), 'a.test')
  assert.equal(parseHost('[::1]:80'), '[::1]')
  for (const bad of [
    '',
    '.',
    ':80',
    'a:b',
    'a b',
    'a/b',
    'a@b',
    'a%62',
    'a:999999',
    '[::1',
    '::1',
  ]) {
    assert.equal(parseHost(bad), null, bad)
  }
})
