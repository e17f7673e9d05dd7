import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noSecrets } from '../../test/fakes/no-secrets.ts'
import { parseTargetName } from '../model/names.ts'
import type { Config, HomeConfig } from './config.ts'
import { podDoors } from './pod-door.ts'

const PROD = parseTargetName('prod')
const access = { host: '127.0.0.1', port: 0, url: null, authority: null, certificates: null }
const home: HomeConfig = {
  owner: '',
  target: PROD,
  settings: {},
  namespace: 'fairway-system',
  pod: 'fairway-1',
  image: '',
  healthPort: 7071,
  apiServer: { host: '10.0.0.1', port: '443' },
}

function doorOf(
  config: Partial<Pick<Config, 'access' | 'home' | 'hostNames'>>,
  serverUrl: string | null = null,
) {
  const settings: Record<string, string> = serverUrl === null ? {} : { serverUrl }
  const doors = podDoors({
    config: { access, home: null, hostNames: [], ...config },
    owner: 'fairway-1',
    access: () => Promise.resolve({ port: 7443, ca: 'PEM' }),
    image: () => Promise.resolve('registry.test/fairway-helpers@sha256:1'),
    values: noSecrets,
    lookup: (host) =>
      host === 'shop.example.com'
        ? Promise.resolve(['2001:db8::1', '192.0.2.9'])
        : Promise.reject(new Error('no such host')),
  })
  return doors({ name: PROD, kubeconfig: '', context: null, settings, createdAt: 0 }).door()
}

test('pods call the server as the target says, else as people’s programs do, else where it listens', async () => {
  const path = '/clusters/prod/instance-secrets'
  const listens = { access: { ...access, host: '192.0.2.7' } }
  assert.equal((await doorOf(listens)).needs.secrets.url, `https://192.0.2.7:7443${path}`)
  const anywhere = { access: { ...access, host: '0.0.0.0' }, hostNames: ['192.0.2.8'] }
  assert.equal((await doorOf(anywhere)).needs.secrets.url, `https://192.0.2.8:7443${path}`)
  const named = { access: { ...access, host: '0.0.0.0', url: 'https://shop.example.com' } }
  const { needs, peers, port } = await doorOf(named)
  assert.deepEqual(needs, {
    secrets: {
      url: `https://shop.example.com${path}`,
      audience: 'fairway-1.prod.secrets.fairway.internal',
    },
    identity: {
      url: 'https://shop.example.com/clusters/prod/instance-identity',
      audience: 'fairway-1.prod.identities.fairway.internal',
    },
  })
  assert.deepEqual(peers, [{ cidr: '192.0.2.9/32' }, { cidr: '2001:db8::1/128' }])
  assert.equal(port, 443)
  const given = await doorOf(named, 'https://[2001:db8::2]:8443')
  assert.equal(given.needs.secrets.url, `https://[2001:db8::2]:8443${path}`)
  assert.deepEqual(given.peers, [{ cidr: '2001:db8::2/128' }])
  assert.deepEqual((await doorOf({}, 'https://only-pods-know.svc')).peers, [])
})

test('in the cluster itself they call its Service and its pods are let through', async () => {
  const door = await doorOf({ home })
  assert.match(door.needs.secrets.url, /^https:\/\/fairway-access\.fairway-system\.svc:7443\//)
  const labels = { 'app.kubernetes.io/name': 'fairway', 'app.kubernetes.io/component': 'server' }
  assert.deepEqual(door.peers, [{ namespace: 'fairway-system', labels }])
  assert.equal(door.port, 7443)
})

test('a server on loopback says what to do instead of planning pods that wait for ever', async () => {
  for (const config of [{}, { access: { ...access, host: '0.0.0.0' } }])
    await assert.rejects(doorOf(config), {
      code: 'RUNNER_UNAVAILABLE',
      hint: /fairway target add prod --server-url/,
    })
})
