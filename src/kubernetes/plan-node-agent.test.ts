import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nameOf } from './apply.ts'
import { at, listAt } from './json-value.ts'
import { objectKey, toYaml } from './object.ts'
import { planNodeAgent, type NodeAgentPlan } from './plan-node-agent.ts'

const PLAN: NodeAgentPlan = {
  namespace: 'fairway-system',
  image: `registry.test/fairway-server@sha256:${'a'.repeat(64)}`,
  pullSecret: null,
  labels: { 'app.kubernetes.io/part-of': 'fairway' },
  metadataUrl: null,
}

test('equal plans give equal bytes, and every kind can be applied', () => {
  const objects = planNodeAgent(PLAN)
  assert.equal(toYaml(objects), toYaml(planNodeAgent({ ...PLAN })))
  for (const object of objects) assert.ok(nameOf(object))
})

test('the agent may patch nodes and nothing else', () => {
  const role = planNodeAgent(PLAN).find(({ kind }) => kind === 'ClusterRole')
  assert.deepEqual(role?.['rules'], [{ apiGroups: [''], resources: ['nodes'], verbs: ['patch'] }])
  const kinds = planNodeAgent(PLAN).map(objectKey)
  assert.ok(kinds.includes('ValidatingAdmissionPolicyBinding fairway-system-node-agent'))
})

test('it runs on every node as nobody, from the platform’s image', () => {
  const url = 'http://10.0.0.1:1338'
  const found = planNodeAgent({ ...PLAN, metadataUrl: url }).find(
    ({ kind }) => kind === 'DaemonSet',
  )
  const spec = at(found, 'spec', 'template', 'spec')
  assert.deepEqual(at(spec, 'tolerations'), [{ operator: 'Exists' }])
  assert.equal(at(spec, 'hostNetwork'), undefined)
  assert.equal(at(spec, 'securityContext', 'runAsNonRoot'), true)
  const [container] = listAt(spec, 'containers')
  assert.equal(at(container, 'image'), PLAN.image)
  assert.deepEqual(listAt(container, 'command').slice(-2), ['--metadata-url', url])
})
