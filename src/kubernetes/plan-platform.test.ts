import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { ranked } from './apply.ts'
import { isRecord, listAt, recordAt, textAt, type Json } from './json-value.ts'
import { objectKey, toYaml, type KubeObject } from './object.ts'
import { planPlatform, type PlatformPlan } from './plan-platform.ts'

const PLAN: PlatformPlan = {
  namespace: 'fairway-system',
  installer: 'fairway-1234',
  target: 'prod',
  image: 'registry.example/fairway-server@sha256:aa',
  pullSecret: null,
  database: { url: 'postgres://me:secret-a@db/fairway', own: null },
  registry: {
    settings: { registry: 'registry.example', registryPassword: 'secret-b' },
    own: null,
    pullSecret: null,
  },
  packages: { npm_config_registry: 'https://npm.example/' },
  hosts: ['fairway.example'],
  nodePort: null,
}
const WHOLE: PlatformPlan = {
  ...PLAN,
  pullSecret: { name: 'fairway-pull', dockerConfigJson: '{}' },
  database: { ...PLAN.database, own: { image: 'registry.example/pg@sha256:bb', password: 'c' } },
  registry: { ...PLAN.registry, own: { nodePort: 30_500, password: 'd', pullPassword: 'e' } },
  nodePort: 30_700,
}

test('equal input gives equal bytes, and every object stands once', () => {
  const objects = planPlatform(WHOLE)
  assert.equal(toYaml(objects), toYaml(planPlatform({ ...WHOLE })))
  const keys = objects.map(objectKey)
  assert.equal(new Set(keys).size, keys.length)
  assert.equal(parseAllDocuments(toYaml(objects)).length, objects.length)
})

test('the namespace comes first, rights before those who use them', () => {
  const kinds = ranked(planPlatform(WHOLE)).map((group) => group.map(({ kind }) => kind))
  const rank = (kind: string): number => kinds.findIndex((group) => group.includes(kind))
  assert.equal(rank('Namespace'), 0)
  for (const kind of ['ServiceAccount', 'Secret', 'ClusterRoleBinding', 'RoleBinding'])
    assert.ok(rank(kind) < rank('Deployment'), kind)
})

test('every container is hardened, limited and probed; one part alone may call the API server', () => {
  const pods = templates(WHOLE)
  assert.deepEqual(Object.keys(pods), [
    'StatefulSet fairway-system/fairway-postgres',
    'StatefulSet fairway-system/fairway-registry',
    'Deployment fairway-system/fairway',
  ])
  for (const [name, pod] of Object.entries(pods)) {
    const mayCall = pod['automountServiceAccountToken']
    assert.equal(mayCall, name.endsWith('/fairway'), name)
    const security = recordAt(pod, 'securityContext')
    assert.equal(security['runAsNonRoot'], true)
    assert.deepEqual(security['seccompProfile'], { type: 'RuntimeDefault' })
    for (const container of listAt(pod, 'containers').filter(isRecord)) {
      assert.match(textAt(container, 'image'), /@sha256:/)
      const own = recordAt(container, 'securityContext')
      assert.equal(own['readOnlyRootFilesystem'], true)
      assert.equal(own['allowPrivilegeEscalation'], false)
      assert.deepEqual(own['capabilities'], { drop: ['ALL'] })
      for (const amount of ['cpu', 'memory'])
        for (const kind of ['requests', 'limits'])
          assert.notEqual(textAt(container, 'resources', kind, amount), '', `${name} ${kind}`)
      for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe'])
        assert.ok(isRecord(container[probe]), `${name} ${probe}`)
    }
  }
})

test('requests go to the active server alone; budget and rollout count on both', () => {
  const byKind = (kind: string): Json => find(PLAN, kind, 'fairway')
  assert.equal(recordAt(byKind('Service'), 'spec', 'selector')['fairway/role'], 'active')
  const spec = recordAt(byKind('Deployment'), 'spec')
  assert.equal(spec['replicas'], 2)
  assert.deepEqual(recordAt(spec, 'strategy', 'rollingUpdate'), { maxUnavailable: 0, maxSurge: 1 })
  const budget = recordAt(byKind('PodDisruptionBudget'), 'spec')
  assert.equal(budget['maxUnavailable'], 1)
  assert.equal(recordAt(budget, 'selector', 'matchLabels')['fairway/role'], undefined)
})

test('rights: nothing by a wildcard, nothing of roles, and only its own Secret by name', () => {
  const rules = (kind: string, name: string): readonly Json[] =>
    listAt(find(PLAN, kind, name), 'rules').filter(isRecord)
  const all = [...rules('ClusterRole', 'fairway-system'), ...rules('Role', 'fairway')]
  assert.ok(all.length > 3)
  for (const rule of all) {
    const words = ['apiGroups', 'resources', 'verbs'].flatMap((key) => listAt(rule, key))
    assert.ok(!words.includes('*'), JSON.stringify(rule))
    assert.ok(!listAt(rule, 'apiGroups').includes('rbac.authorization.k8s.io'))
    for (const verb of ['escalate', 'bind', 'impersonate', 'deletecollection'])
      assert.ok(!listAt(rule, 'verbs').includes(verb))
  }
  const pods = all.filter(
    (rule) => listAt(rule, 'resources').includes('pods') && listAt(rule, 'apiGroups').includes(''),
  )
  assert.deepEqual(
    pods.map((rule) => listAt(rule, 'verbs')),
    [
      ['delete', 'get', 'list', 'watch'],
      ['get', 'patch'],
    ],
  )
})

test('passwords stand in Secrets alone; other settings make other pods', () => {
  const plain = toYaml(planPlatform(PLAN).filter(({ kind }) => kind !== 'Secret'))
  for (const secret of ['secret-a', 'secret-b', base64('secret-a')])
    assert.ok(!plain.includes(secret), secret)
  const other = { ...PLAN, database: { url: 'postgres://me:other@db/fairway', own: null } }
  assert.notDeepEqual(find(PLAN, 'Deployment', 'fairway'), find(other, 'Deployment', 'fairway'))
})

test('a database and a registry of the user’s are not made', () => {
  const names = planPlatform(PLAN).map(objectKey)
  assert.deepEqual(
    names.filter((name) => /postgres|registry/.test(name)),
    [],
  )
  assert.equal(textAt(find(PLAN, 'Service', 'fairway'), 'spec', 'type'), 'ClusterIP')
})

function templates(plan: PlatformPlan): Readonly<Record<string, Json>> {
  const workloads = planPlatform(plan).filter(({ kind }) => /Deployment|StatefulSet/.test(kind))
  return Object.fromEntries(
    workloads.map((object) => [objectKey(object), recordAt(object, 'spec', 'template', 'spec')]),
  )
}

function find(plan: PlatformPlan, kind: string, name: string): KubeObject {
  const found = planPlatform(plan).find(
    (object) => object.kind === kind && object.metadata.name === name,
  )
  assert.ok(found !== undefined, `${kind} ${name}`)
  return found
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
