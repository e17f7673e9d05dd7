import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAccessPath } from './access-path.ts'

test('paths of the API server pass as they are', () => {
  for (const path of [
    '/api',
    '/api?timeout=32s',
    '/api/v1/namespaces/shop--production/pods/web-a-1/exec?command=sh&command=-c&command=echo%20%2F..%2F&stdin=true',
    '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node',
    '/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode',
    '/openapi/v3',
    '/version/',
    '/api/v1/namespaces/x/services/http:web:80/proxy/a.b/..c',
  ])
    assert.deepEqual(parseAccessPath(`/clusters/prod${path}`), { target: 'prod', path })
})

test('what could be read in two ways is refused', () => {
  for (const url of [
    '/clusters/prod',
    '/clusters/prod/',
    '/clusters/prod//api',
    '/clusters/prod/api//v1',
    '/clusters/prod/api/../../staging/api',
    '/clusters/prod/api/..%2f..%2fstaging',
    '/clusters/prod/api/..%2F..%2Fstaging',
    '/clusters/prod/api/%2e%2e/%2e%2e/staging/api',
    '/clusters/prod/api/.%2e/x',
    '/clusters/prod/api/./v1',
    '/clusters/prod/api/%252e%252e/x',
    '/clusters/prod/api/a%2fb',
    '/clusters/prod/api/a%5cb',
    '/clusters/prod/api/a\\b',
    '/clusters/prod/api/a%00',
    '/clusters/prod/api/a;b=c',
    '/clusters/prod/api/%zz',
    '/clusters/prod/api/%c0%ae%c0%ae/x',
    '/clusters/prod/api/v1#/x',
    '/clusters/prod/metrics',
    '/clusters/prod/logs/kube-apiserver.log',
    '/clusters/prod/debug/pprof',
    '/clusters/Prod/api',
    '/clusters/../api',
    '/clusters/%70rod/api',
    '//clusters/prod/api',
    '/Clusters/prod/api',
    'http://elsewhere/clusters/prod/api',
    '/clusters/prod/api/v1 HTTP/1.1',
    `/clusters/prod/api/${'a'.repeat(9000)}`,
    '*',
    '',
  ])
    assert.equal(parseAccessPath(url), null, url)
})

test('whatever passes stays below the target that it names', () => {
  const part = fc.constantFrom(
    'api',
    'v1',
    '..',
    '.',
    '%2e',
    '%2f',
    '',
    'x',
    '%25',
    'a%20b',
    ';',
    '%5C',
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const found = parseAccessPath(`/clusters/prod/api/${parts.join('/')}`)
      if (found === null) return
      // WHATWG resolves dots, encoded or not: nothing of it may have moved.
      const resolved = new URL(`https://host/base${found.path}`).pathname
      assert.equal(resolved, `/base${found.path}`)
      assert.doesNotMatch(found.path, /\/\/|%2f|%5c/i)
    }),
    { numRuns: 2000 },
  )
})
