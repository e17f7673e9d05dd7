import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  appOf,
  BARE,
  processWith,
  settingsWith,
  trackOf,
  workloadOf,
} from '../../test/fakes/cluster-plan.ts'
import { at, listAt, named, textAt } from './json-value.ts'
import { objectKey } from './object.ts'
import { planApp } from './plan-app.ts'
import { expectIdentities } from './plan-identity.ts'
import type { PodDoor } from './pod-door.ts'

const DOOR: PodDoor = {
  image: 'registry.test/fairway-helpers@sha256:1',
  ca: 'PEM',
  needs: {
    secrets: { url: 'https://192.0.2.7:7443/values', audience: 'test.values' },
    identity: { url: 'https://192.0.2.7:7443/who', audience: 'test.who' },
  },
  peers: [{ cidr: '192.0.2.7/32' }],
  port: 7443,
}
const settings = settingsWith({ podDoor: DOOR })
const app = appOf(workloadOf({ identity: true }, [trackOf({})]))

function podOf(planned: ReturnType<typeof planApp>): unknown {
  const found = planned.find((one) => objectKey(one) === 'Deployment shop--production/web-a')
  return at(found, 'spec', 'template')
}

test('a helper lives beside the app, which begins when the helper has what it needs', () => {
  const pod = podOf(planApp(app, settings))
  const [helper, ...others] = listAt(pod, 'spec', 'initContainers')
  assert.deepEqual(others, [])
  assert.equal(textAt(helper, 'restartPolicy'), 'Always')
  assert.equal(textAt(helper, 'image'), DOOR.image)
  assert.deepEqual(at(helper, 'startupProbe', 'exec', 'command'), [
    'node',
    '/app/src/bin/identity-ready.ts',
  ])
  const env = listAt(helper, 'env')
  assert.equal(textAt(named(env, 'name', 'FAIRWAY_IDENTITY_URL'), 'value'), DOOR.needs.identity.url)
})

test('the app reads the folder, and only the helper has the token, which is for identities alone', () => {
  const pod = podOf(planApp(app, settings))
  const [helper] = listAt(pod, 'spec', 'initContainers')
  const [container] = listAt(pod, 'spec', 'containers')
  const mounts = listAt(container, 'volumeMounts')
  assert.deepEqual(named(mounts, 'name', 'identity'), {
    name: 'identity',
    mountPath: '/run/identity',
    readOnly: true,
  })
  assert.equal(named(mounts, 'name', 'identity-token'), null)
  assert.ok(named(listAt(helper, 'volumeMounts'), 'name', 'identity-token'))
  const volumes = listAt(pod, 'spec', 'volumes')
  assert.equal(at(named(volumes, 'name', 'identity'), 'emptyDir', 'medium'), 'Memory')
  const [source] = listAt(named(volumes, 'name', 'identity-token'), 'projected', 'sources')
  assert.equal(textAt(source, 'serviceAccountToken', 'audience'), 'test.who')
  const names = listAt(container, 'env').map((one) => textAt(one, 'name'))
  assert.ok(names.includes('FAIRWAY_IDENTITY') && names.includes('SPIFFE_ENDPOINT_SOCKET'))
})

test('values come before it, both may call the server, and who asks for neither may not', () => {
  const secrets = { documents: [{ path: 's.yaml', text: 'x' }], env: {} }
  const both = appOf(workloadOf({ identity: true }, [trackOf({ secrets })]))
  const planned = planApp(both, settings)
  const names = listAt(podOf(planned), 'spec', 'initContainers').map((one) => textAt(one, 'name'))
  assert.deepEqual(names, ['secrets', 'identity'])
  assert.ok(planned.some((one) => objectKey(one).endsWith('/fairway--server')))
  const labels = at(podOf(planned), 'metadata', 'labels')
  assert.equal(textAt(labels, 'fairway/calls'), 'server')
  const neither = planApp(appOf(workloadOf({}, [trackOf({})])), settings)
  assert.ok(!neither.some((one) => objectKey(one).endsWith('/fairway--server')))
  assert.equal(textAt(podOf(neither), 'metadata', 'labels', 'fairway/calls'), '')
})

test('what cannot be is refused with the reason', () => {
  assert.throws(() => planApp(app, settingsWith({})), { code: 'RUNNER_UNAVAILABLE' })
  assert.throws(() => expectIdentities({ ...BARE, version: 'v1.28.9' }), {
    message: /need Kubernetes 1\.29 or newer.*v1\.28\.9/,
  })
  expectIdentities({ ...BARE, version: 'v1.29.0' })
  // Whoever shows what there is plans too, and cannot fail.
  planApp(app, settingsWith({ podDoor: DOOR, facts: { ...BARE, version: 'v1.28.9' } }))
  assert.equal(processWith({}).identity, false)
})
