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
  packages: { env: { npm_config_registry: 'https://npm.example/' }, apt: {} },
  hosts: ['fairway.example'],
  nodePort: null,
  accessNodePort: null,
  owner: 'fairway-5678',
  keys: { serverKey: 'key-f', ca: 'PEM', caKey: 'key-g' },
  given: { variables: {}, files: {} },
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

test('rights over roles are given where kubectl is to get in alone, and by name', () => {
  const rights = listAt(
    find({ ...PLAN, accessNodePort: 30_743 }, 'ClusterRole', 'fairway-system-access'),
    'rules',
  )
  const all = rights.filter(isRecord)
  const unnamed = all.filter((rule) => listAt(rule, 'resourceNames').length === 0)
  assert.deepEqual(
    unnamed.map((rule) => [listAt(rule, 'resources'), listAt(rule, 'verbs')]),
    [[['rolebindings'], ['list']]],
  )
  const escalates = all.filter((rule) => listAt(rule, 'verbs').includes('escalate'))
  assert.deepEqual(
    escalates.map((rule) => listAt(rule, 'resourceNames')),
    [['fairway-5678-access']],
  )
  const names = planPlatform(PLAN).map(({ metadata }) => metadata.name)
  assert.ok(!names.includes('fairway-system-access'))
})

test('passwords stand in Secrets alone; other settings make other pods', () => {
  const plain = toYaml(planPlatform(PLAN).filter(({ kind }) => kind !== 'Secret'))
  for (const secret of ['secret-a', 'secret-b', base64('secret-a')])
    assert.ok(!plain.includes(secret), secret)
  for (const change of [
    { database: { url: 'postgres://me:other@db/fairway', own: null } },
    { given: { variables: { FAIRWAY_LOG_LEVEL: 'debug' }, files: {} } },
    { given: { variables: {}, files: { FAIRWAY_VAULT_TOKEN_FILE: 'a' } } },
    // What tells them apart needs the key.
    { keys: { ...PLAN.keys, serverKey: 'another' } },
  ]) {
    const other = { ...PLAN, ...change }
    assert.notDeepEqual(find(PLAN, 'Deployment', 'fairway'), find(other, 'Deployment', 'fairway'))
  }
})

test('settings that come back from the cluster in another order make no other pods', () => {
  const [a, b] = [{ FAIRWAY_LOG_LEVEL: 'debug' }, { AWS_PROFILE: 'x' }]
  const deployment = (variables: Record<string, string>): KubeObject =>
    find({ ...PLAN, given: { variables, files: {} } }, 'Deployment', 'fairway')
  assert.deepEqual(deployment({ ...a, ...b }), deployment({ ...b, ...a }))
})

test('what an operator sets reaches the servers by Secrets, and overrides nothing of the install', () => {
  const given = {
    variables: { FAIRWAY_OIDC_ISSUER: 'https://login.example', FAIRWAY_API_PORT: '1' },
    files: { FAIRWAY_OIDC_CLIENT_SECRET_FILE: 'secret-h' },
  }
  const plan = { ...PLAN, given }
  const plain = toYaml(planPlatform(plan).filter(({ kind }) => kind !== 'Secret'))
  assert.doesNotMatch(plain, /login\.example|secret-h/)
  const [pod] = Object.values(templates(plan))
  const [container] = listAt(pod, 'containers')
  const sources = listAt(container, 'envFrom').map((one) => textAt(one, 'secretRef', 'name'))
  assert.deepEqual(sources, ['fairway-given', 'fairway-settings'])
  assert.equal(
    textAt(find(plan, 'Secret', 'fairway-given'), 'data', 'FAIRWAY_OIDC_ISSUER'),
    base64('https://login.example'),
  )
  const env = new Map(
    listAt(container, 'env').map((one) => [textAt(one, 'name'), textAt(one, 'value')]),
  )
  assert.equal(env.get('FAIRWAY_API_PORT'), '7070')
  const path = env.get('FAIRWAY_OIDC_CLIENT_SECRET_FILE') ?? ''
  const mounted = listAt(container, 'volumeMounts').find((one) => textAt(one, 'name') === 'given')
  assert.equal(path, `${textAt(mounted, 'mountPath')}/FAIRWAY_OIDC_CLIENT_SECRET_FILE`)
  const files = recordAt(find(plan, 'Secret', 'fairway-given-files'), 'data')
  assert.deepEqual(files, { FAIRWAY_OIDC_CLIENT_SECRET_FILE: base64('secret-h') })
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

test('both servers share the key of secrets and the authority of their listener, which pods and kubectl reach by the Service', () => {
  const plan = { ...PLAN, accessNodePort: 30_743 }
  const secret = find(plan, 'Secret', 'fairway-keys')
  assert.deepEqual(Object.keys(recordAt(secret, 'data')), [
    'ca-key.pem',
    'ca.pem',
    'owner',
    'secrets.key',
  ])
  const [pod] = Object.values(templates(plan))
  const [container] = listAt(pod, 'containers')
  const env = new Map(
    listAt(container, 'env').map((one) => [textAt(one, 'name'), textAt(one, 'value')]),
  )
  const mounted = listAt(container, 'volumeMounts').find((one) => textAt(one, 'name') === 'keys')
  const folder = textAt(mounted, 'mountPath')
  assert.equal(env.get('FAIRWAY_SECRETS_KEY_FILE'), `${folder}/secrets.key`)
  assert.equal(env.get('FAIRWAY_ACCESS_AUTHORITY'), folder)
  assert.equal(env.get('FAIRWAY_ACCESS_URL'), 'https://fairway.example:30743')
  const volume = listAt(pod, 'volumes').find((one) => textAt(one, 'name') === 'keys')
  // Others of the pod may not read it, and the server refuses a key that they may.
  assert.equal(recordAt(volume, 'secret')['defaultMode'], 0o440)
  const ports = listAt(find(plan, 'Service', 'fairway-access'), 'spec', 'ports')
  assert.deepEqual(ports.at(-1), {
    name: 'access',
    port: 7443,
    targetPort: 'access',
    protocol: 'TCP',
    nodePort: 30_743,
  })
  // The API's own port of every node opens no other.
  for (const [one, name] of [
    [PLAN, 'fairway-access'],
    [plan, 'fairway'],
    [{ ...PLAN, nodePort: 30_700 }, 'fairway-access'],
  ] as const)
    assert.equal(textAt(find(one, 'Service', name), 'spec', 'type'), 'ClusterIP')
})
