import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  appOf,
  IMAGE,
  settingsWith,
  SHOP,
  specOf,
  trackOf,
  WEB,
  workloadOf,
} from '../../test/fakes/cluster-plan.ts'
import type { JobRequest } from '../model/engine.ts'
import type { SecretPlan } from '../model/secrets.ts'
import { at, listAt, named, textAt } from './json-value.ts'
import { objectKey, toYaml, type KubeObject } from './object.ts'
import { planApp } from './plan-app.ts'
import { jobName, planJob } from './plan-job.ts'
import type { PodDoor } from './pod-door.ts'

const URL = 'https://192.0.2.7:7443/clusters/prod/instance-secrets'
const DOOR: PodDoor = {
  image: 'registry.test/fairway-helpers@sha256:1',
  ca: 'PEM of $the authority',
  needs: {
    secrets: { url: URL, audience: 'test.prod' },
    identity: { url: 'https://192.0.2.7:7443/who', audience: 'test.prod.who' },
  },
  peers: [{ cidr: '192.0.2.7/32' }],
  port: 7443,
}
const PLAN: SecretPlan = {
  documents: [{ path: 'secrets.production.yaml', text: 'KEY: ENC[encrypted-text]' }],
  env: {},
}
const settings = settingsWith({ podDoor: DOOR })
const app = appOf(workloadOf({}, [trackOf({ secrets: PLAN })]))
const JOB: JobRequest = {
  ref: SHOP,
  spec: specOf(app),
  process: WEB,
  release: 1,
  image: IMAGE,
  argv: ['migrate'],
  env: {},
  timeoutMs: 60_000,
  key: 'release-1',
}

function one(objects: readonly KubeObject[], key: string): KubeObject {
  const found = objects.find((object) => objectKey(object) === key)
  assert.ok(found, `no ${key} in ${objects.map(objectKey).join(', ')}`)
  return found
}

test('only the program that fetches has the token, and only it may write where the app reads', () => {
  const pod = at(
    one(planApp(app, settings), 'Deployment shop--production/web-a'),
    'spec',
    'template',
  )
  const [fetcher, ...others] = listAt(pod, 'spec', 'initContainers')
  const [container] = listAt(pod, 'spec', 'containers')
  assert.deepEqual(others, [])
  assert.deepEqual(listAt(fetcher, 'volumeMounts'), [
    { name: 'secrets', mountPath: '/run/secrets' },
    { name: 'secrets-token', mountPath: '/var/run/fairway', readOnly: true },
  ])
  const mounts = listAt(container, 'volumeMounts')
  assert.deepEqual(named(mounts, 'name', 'secrets'), {
    name: 'secrets',
    mountPath: '/run/secrets',
    readOnly: true,
  })
  assert.equal(named(mounts, 'name', 'secrets-token'), null)
  const volumes = listAt(pod, 'spec', 'volumes')
  assert.equal(at(named(volumes, 'name', 'secrets'), 'emptyDir', 'medium'), 'Memory')
  const [source] = listAt(named(volumes, 'name', 'secrets-token'), 'projected', 'sources')
  assert.deepEqual(at(source, 'serviceAccountToken'), {
    audience: 'test.prod',
    expirationSeconds: 600,
    path: 'token',
  })
  assert.equal(at(pod, 'spec', 'automountServiceAccountToken'), false)
})

test('the program that fetches is as restricted as the app and believes one authority', () => {
  const deployment = one(planApp(app, settings), 'Deployment shop--production/web-a')
  const pod = at(deployment, 'spec', 'template')
  const [fetcher] = listAt(pod, 'spec', 'initContainers')
  const [container] = listAt(pod, 'spec', 'containers')
  assert.deepEqual(at(fetcher, 'securityContext'), at(container, 'securityContext'))
  assert.equal(at(fetcher, 'image'), DOOR.image)
  const env = listAt(fetcher, 'env')
  // Kubernetes would fill in `$(NAME)`.
  assert.equal(textAt(named(env, 'name', 'FAIRWAY_SECRETS_CA'), 'value'), 'PEM of $$the authority')
  assert.equal(textAt(named(env, 'name', 'FAIRWAY_SECRETS_URL'), 'value'), URL)
  const own = named(listAt(container, 'env'), 'name', 'FAIRWAY_SECRETS')
  assert.equal(textAt(own, 'value'), '/run/secrets')
})

test('pods with secrets may call the server at its port, and nobody else may', () => {
  const planned = planApp(app, settings)
  const policy = one(planned, 'NetworkPolicy shop--production/fairway--server')
  assert.deepEqual(policy['spec'], {
    podSelector: { matchLabels: { 'fairway/calls': 'server' } },
    policyTypes: ['Egress'],
    egress: [
      { to: [{ ipBlock: { cidr: '192.0.2.7/32' } }], ports: [{ protocol: 'TCP', port: 7443 }] },
    ],
  })
  const deployment = one(planned, 'Deployment shop--production/web-a')
  const labels = at(deployment, 'spec', 'template', 'metadata', 'labels')
  assert.equal(at(labels, 'fairway/calls'), 'server')
  // Rules without peers would let everything through.
  const nowhere = planApp(app, settingsWith({ podDoor: { ...DOOR, peers: [] } }))
  assert.ok(!nowhere.some(({ metadata }) => metadata.name === 'fairway--server'))
})

test('a server in the cluster is named by its pods', () => {
  const peers = [{ namespace: 'fairway-system', labels: { part: 'server' } }]
  const planned = planApp(app, settingsWith({ podDoor: { ...DOOR, peers } }))
  const [rule] = listAt(
    one(planned, 'NetworkPolicy shop--production/fairway--server'),
    'spec',
    'egress',
  )
  assert.deepEqual(listAt(rule, 'to'), [
    {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'fairway-system' } },
      podSelector: { matchLabels: { part: 'server' } },
    },
  ])
})

test('a release command fetches too, by a policy of its own that goes with it', () => {
  const planned = planJob({ ...JOB, secrets: PLAN }, settings)
  const name = jobName(JOB)
  const policy = one(planned, `NetworkPolicy shop--production/${name}--server`)
  assert.deepEqual(at(policy, 'spec', 'podSelector', 'matchLabels'), {
    'fairway/calls': 'server',
    'fairway/job': name,
  })
  const job = one(planned, `Job shop--production/${name}`)
  assert.equal(listAt(job, 'spec', 'template', 'spec', 'initContainers').length, 1)
})

test('no encrypted file is in any object, and without files nothing is different', () => {
  const planned = [...planApp(app, settings), ...planJob({ ...JOB, secrets: PLAN }, settings)]
  assert.ok(!toYaml(planned).includes('encrypted-text'))
  const without = appOf(workloadOf({}, [trackOf({})]))
  assert.equal(toYaml(planApp(without, settings)), toYaml(planApp(without, settingsWith())))
  assert.throws(() => planApp(app, settingsWith()), { code: 'RUNNER_UNAVAILABLE' })
})
