import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endpointUrl } from '../contract/endpoint.ts'
import { ENDPOINTS, type EndpointName } from '../contract/endpoints.ts'
import { endpointMethod, endpointPath } from './paths.ts'

const PARAMS = {
  app: 'shop',
  environment: 'production',
  rollout: 'r1',
  instance: 'web-1',
  token: 'a/b c?',
  digest: 'sha256:00',
  target: 'prod',
  node: 'node1',
  login: 'l1',
  user: 'u1',
  team: 'pay',
  binding: 'b1',
}

for (const name of Object.keys(ENDPOINTS).filter((key): key is EndpointName => key in ENDPOINTS)) {
  test(`${name} goes where the contract says`, () => {
    const query = { limit: 5, follow: true, grep: 'a&b=ü', since: undefined }
    assert.equal(endpointMethod(name), ENDPOINTS[name].method)
    assert.equal(endpointPath(name, PARAMS, query), endpointUrl(ENDPOINTS[name], PARAMS, query))
    assert.equal(endpointPath(name, PARAMS), endpointUrl(ENDPOINTS[name], PARAMS))
  })
}
