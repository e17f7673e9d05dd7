import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  appOf,
  type BareTrack,
  BARE,
  GATEWAY,
  IMAGE,
  settingsWith,
  SHOP,
  trackOf,
  workloadOf,
} from '../../test/fakes/cluster-plan.ts'
import type { ProcessSpec } from '../model/app-spec.ts'
import type { DesiredApp } from '../model/engine.ts'
import { parseAppName, parseEnvironmentName, parseProcessName } from '../model/names.ts'
import { at, listAt, textAt } from './json-value.ts'
import { objectKey, toYaml, type KubeObject } from './object.ts'
import { planApp } from './plan-app.ts'
import type { PlanSettings } from './plan-settings.ts'

function find(objects: readonly KubeObject[], kind: string, name: string): KubeObject {
  const found = objects.find((one) => one.kind === kind && one.metadata.name === name)
  assert.ok(found, `no ${kind} ${name} in ${objects.map(objectKey).join(', ')}`)
  return found
}

function kinds(objects: readonly KubeObject[]): readonly string[] {
  return objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
}

function planOf(
  change: Partial<ProcessSpec>,
  tracks?: readonly BareTrack[],
): readonly KubeObject[] {
  return planApp(appOf(workloadOf(change, tracks)), settingsWith())
}

const two = trackOf({ replicas: 2 })
const candidate = trackOf({ name: 'candidate', release: 2, replicas: 1, weight: 5 })
const stable = trackOf({ replicas: 3, weight: 95 })
const podOf = (object: KubeObject): unknown => at(object, 'spec', 'template', 'spec')
const containerOf = (object: KubeObject): unknown => listAt(podOf(object), 'containers')[0]

test('the objects of a plain web process, in the order in which they are applied', () => {
  const objects = planOf({})
  assert.deepEqual(
    kinds(objects).map((key) => key.replace(/env-.*/, 'env-')),
    [
      'Namespace shop--production',
      'ServiceAccount web',
      'NetworkPolicy fairway--default',
      'NetworkPolicy web',
      'Secret web--env-',
      'Deployment web-a',
      'Service web',
    ],
  )
  for (const { metadata } of objects) {
    assert.equal(metadata.labels['app.kubernetes.io/managed-by'], 'fairway')
    assert.equal(metadata.labels['fairway/owner'], 'test')
    assert.match(metadata.annotations['fairway/plan'] ?? '', /^[0-9a-f]{16}$/)
  }
})

test('nothing to run is nothing planned', () => {
  assert.deepEqual(planApp(appOf(), settingsWith()), [])
})

test('a Deployment never has fewer copies than promised and says everything a cluster must know', () => {
  const deployment = find(planOf({}, [two]), 'Deployment', 'web-a')
  const spec = deployment['spec']
  assert.deepEqual(at(spec, 'strategy'), {
    type: 'RollingUpdate',
    rollingUpdate: { maxUnavailable: 0, maxSurge: '25%' },
  })
  assert.equal(at(spec, 'replicas'), 2)
  assert.equal(at(spec, 'minReadySeconds'), 10)
  assert.ok(Number(at(spec, 'progressDeadlineSeconds')) > 60 + 10)
  const pod = podOf(deployment)
  assert.equal(at(pod, 'terminationGracePeriodSeconds'), 65)
  assert.equal(at(pod, 'automountServiceAccountToken'), false)
  assert.equal(at(pod, 'enableServiceLinks'), false)
  const container = containerOf(deployment)
  assert.equal(at(container, 'image'), `registry.test/shop@${IMAGE.digest}`)
  assert.deepEqual(at(container, 'lifecycle'), { preStop: { sleep: { seconds: 5 } } })
  assert.deepEqual(at(container, 'resources'), {
    limits: { cpu: '1', memory: String(64 * 2 ** 20) },
    requests: { cpu: '250m', memory: String(64 * 2 ** 20) },
  })
  assert.equal(at(container, 'securityContext', 'readOnlyRootFilesystem'), true)
})

test('probes: startup on what says that it lives, liveness only where there is a path for it', () => {
  const plain = containerOf(find(planOf({}), 'Deployment', 'web-a'))
  assert.equal(at(plain, 'startupProbe', 'httpGet', 'path'), '/healthz')
  assert.equal(at(plain, 'startupProbe', 'failureThreshold'), 61)
  assert.equal(at(plain, 'livenessProbe'), undefined)
  const health = { ready: null, live: '/live', startMs: 500, intervalMs: 50, timeoutMs: 2500 }
  const live = containerOf(
    find(planOf({ health: { ...health, failures: 4 } }), 'Deployment', 'web-a'),
  )
  assert.equal(at(live, 'startupProbe', 'httpGet', 'path'), '/live')
  assert.deepEqual(at(live, 'readinessProbe'), {
    tcpSocket: { port: 8080 },
    periodSeconds: 1,
    timeoutSeconds: 3,
    failureThreshold: 4,
  })
  assert.equal(at(live, 'livenessProbe', 'httpGet', 'path'), '/live')
})

test('a worker has no port, no probes, no Service, and a grace of its own', () => {
  const objects = planOf({
    name: parseProcessName('jobs'),
    type: 'worker',
    routes: [],
    shutdown: { signal: 'SIGTERM', drainMs: 30_000, stopMs: 600_000 },
  })
  assert.ok(!objects.some(({ kind }) => kind === 'Service' || kind === 'HTTPRoute'))
  const deployment = find(objects, 'Deployment', 'jobs-a')
  const container = containerOf(deployment)
  for (const key of ['ports', 'startupProbe', 'readinessProbe', 'lifecycle'])
    assert.equal(at(container, key), undefined, key)
  assert.equal(at(podOf(deployment), 'terminationGracePeriodSeconds'), 600)
  assert.equal(
    textAt(
      at(deployment, 'spec', 'template', 'metadata', 'annotations'),
      'karpenter.sh/do-not-disrupt',
    ),
    'true',
  )
})

test('the user is a number that is not root, and a low port needs a sysctl instead of a capability', () => {
  const userOf = (user: string): unknown => {
    const track = trackOf({ image: { ...IMAGE, user } })
    const pod = podOf(find(planOf({}, [track]), 'Deployment', 'web-a'))
    return at(pod, 'securityContext', 'runAsUser')
  }
  assert.deepEqual(
    ['', 'root', '0', '0:0', 'node', '1000', '1000:2000'].map(userOf),
    [65_532, 65_532, 65_532, 65_532, 65_532, 1000, 1000],
  )
  const low = podOf(find(planOf({ port: 80 }), 'Deployment', 'web-a'))
  assert.deepEqual(at(low, 'securityContext', 'sysctls'), [
    { name: 'net.ipv4.ip_unprivileged_port_start', value: '0' },
  ])
})

test('words of a command reach the process as they are; only $PORT is filled in', () => {
  const objects = planOf({ command: ['run', '--port=$PORT', '$(HOME)', 'a$$b'], port: 3000 })
  assert.deepEqual(at(containerOf(find(objects, 'Deployment', 'web-a')), 'command'), [
    'run',
    '--port=3000',
    '$$(HOME)',
    'a$$$$b',
  ])
})

test('values live in a Secret named by what it holds; the same values are the same name', () => {
  const secretOf = (env: Readonly<Record<string, string>>): KubeObject | undefined =>
    planOf({}, [trackOf({ env })]).find(({ kind }) => kind === 'Secret')
  const first = secretOf({ A: '1', B: '2' })
  assert.equal(first?.['immutable'], true)
  assert.equal(first.metadata.name, secretOf({ B: '2', A: '1' })?.metadata.name)
  assert.notEqual(first.metadata.name, secretOf({ A: '1', B: '3' })?.metadata.name)
  assert.equal(secretOf({}), undefined)
  const text = toYaml(planOf({}).filter(({ kind }) => kind !== 'Secret'))
  assert.ok(!text.includes('hunter2'))
})

test('internal names in values become names of Services', () => {
  const env = {
    API: 'http://api.shop.internal/v1',
    MAIN: 'http://billing.internal',
    BOTH: 'a.b.internal,metadata.google.internal,x.internal.example.com,ip-10-0-0-1.ec2.internal',
  }
  const secret = planOf({}, [trackOf({ env })]).find(({ kind }) => kind === 'Secret')
  const value = (key: string): string =>
    Buffer.from(textAt(secret, 'data', key), 'base64').toString()
  assert.equal(value('API'), 'http://api.shop--production.svc.cluster.local/v1')
  assert.equal(value('MAIN'), 'http://web.billing--production.svc.cluster.local')
  assert.equal(
    value('BOTH'),
    'a.b--production.svc.cluster.local,metadata.google.internal,x.internal.example.com,ip-10-0-0-1.ec2.internal',
  )
})

test('names that are too long are cut and told apart by a hash', () => {
  const ref = (end: string) => ({
    app: parseAppName(`a${'b'.repeat(38)}${end}`),
    environment: parseEnvironmentName(`c${'d'.repeat(39)}`),
  })
  const names = ['x', 'y'].map((end) => {
    const [namespace] = planApp({ ...appOf(workloadOf()), ref: ref(end) }, settingsWith())
    return namespace?.metadata.name ?? ''
  })
  assert.ok(
    names.every((name) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])$/.test(name)),
    names.join(),
  )
  assert.notEqual(names[0], names[1])
})

describe('scaling', () => {
  const autoscale = { cpuPercent: 70, memoryPercent: 50 }
  const scale = { min: 2, max: 5 }

  test('a scaler owns the number of copies, by shares of the limits', () => {
    const objects = planOf({ autoscale, scale }, [two])
    assert.equal(at(find(objects, 'Deployment', 'web-a'), 'spec', 'replicas'), undefined)
    const scaler = find(objects, 'HorizontalPodAutoscaler', 'web-a')['spec']
    assert.deepEqual([at(scaler, 'minReplicas'), at(scaler, 'maxReplicas')], [2, 5])
    assert.deepEqual(
      listAt(scaler, 'metrics').map((metric) =>
        textAt(metric, 'containerResource', 'target', 'averageValue'),
      ),
      ['700m', String(32 * 2 ** 20)],
    )
  })

  test('a candidate is held where it is by a scaler too, so that becoming stable changes no field', () => {
    const tracks = [trackOf({ replicas: 2, weight: 95 }), candidate]
    const objects = planOf({ autoscale, scale }, tracks)
    assert.equal(at(find(objects, 'Deployment', 'web-b'), 'spec', 'replicas'), undefined)
    const scaler = find(objects, 'HorizontalPodAutoscaler', 'web-b')['spec']
    assert.deepEqual([at(scaler, 'minReplicas'), at(scaler, 'maxReplicas')], [1, 1])
  })

  test('scaled to zero by hand nothing scales it', () => {
    const objects = planOf({ autoscale, scale }, [trackOf({ replicas: 0 })])
    assert.equal(at(find(objects, 'Deployment', 'web-a'), 'spec', 'replicas'), 0)
    assert.ok(!objects.some(({ kind }) => kind === 'HorizontalPodAutoscaler'))
  })

  test('a budget exists from two copies on and never lets all go', () => {
    assert.ok(!planOf({}).some(({ kind }) => kind === 'PodDisruptionBudget'))
    const budget = find(planOf({ disruption: 9 }, [two]), 'PodDisruptionBudget', 'web')['spec']
    assert.equal(at(budget, 'maxUnavailable'), 1)
    assert.equal(at(budget, 'unhealthyPodEvictionPolicy'), 'AlwaysAllow')
  })
})

describe('two tracks', () => {
  const serving = (objects: readonly KubeObject[]): unknown =>
    at(find(objects, 'Service', 'web'), 'spec', 'selector', 'fairway/slot')

  test('with a Gateway weights are weights', () => {
    const settings = settingsWith({ facts: GATEWAY })
    const objects = planApp(appOf(workloadOf({}, [stable, candidate])), settings)
    const route = objects.find(({ kind }) => kind === 'HTTPRoute')
    const [rule] = listAt(route, 'spec', 'rules')
    assert.deepEqual(
      listAt(rule, 'backendRefs').map((ref) => [textAt(ref, 'name'), at(ref, 'weight')]),
      [
        ['web--a', 95],
        ['web--b', 5],
      ],
    )
    for (const slot of ['a', 'b'])
      assert.equal(
        at(find(objects, 'Service', `web--${slot}`), 'spec', 'selector', 'fairway/slot'),
        slot,
      )
  })

  test('without one the Service switches at 0 and 100, and between them both share by copies', () => {
    const planned = (weight: number): readonly KubeObject[] =>
      planOf({}, [trackOf({ weight: 100 - weight }), { ...candidate, weight }])
    assert.deepEqual(
      [0, 100, 30].map((weight) => serving(planned(weight))),
      ['a', 'b', undefined],
    )
  })

  test('a candidate that becomes stable keeps its Deployment as it is', () => {
    const slots = new Map([
      [parseProcessName('web'), { a: { release: 1, ready: 1 }, b: { release: 2, ready: 1 } }],
    ])
    const settings = settingsWith({ slots })
    const before = planApp(
      appOf(workloadOf({}, [trackOf({ weight: 0 }), { ...candidate, weight: 100 }])),
      settings,
    )
    const promoted: BareTrack = { ...candidate, name: 'stable', weight: 100 }
    const after = planApp(appOf(workloadOf({}, [promoted])), settings)
    assert.deepEqual(find(after, 'Deployment', 'web-b'), find(before, 'Deployment', 'web-b'))
    assert.ok(!kinds(after).includes('Deployment web-a'))
    assert.equal(serving(after), 'b')
  })
})

describe('who may call', () => {
  const policy = (change: Partial<ProcessSpec>, settings: PlanSettings): readonly unknown[] =>
    listAt(
      planApp(appOf(workloadOf(change)), settings).find(
        ({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'web',
      ),
      'spec',
      'ingress',
    )

  test('nothing comes in that no policy allows', () => {
    const fallback = find(planOf({}), 'NetworkPolicy', 'fairway--default')['spec']
    assert.deepEqual(at(fallback, 'podSelector'), {})
    assert.deepEqual(at(fallback, 'policyTypes'), ['Ingress', 'Egress'])
    assert.equal(at(fallback, 'ingress'), undefined)
  })

  test('routes are open to what carries requests from outside, else to everybody', () => {
    const settings = settingsWith({ facts: GATEWAY })
    assert.deepEqual(policy({ callers: [] }, settings), [
      {
        ports: [{ protocol: 'TCP', port: 'http' }],
        from: [
          { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'gateways' } } },
        ],
      },
    ])
    assert.deepEqual(policy({ callers: [] }, settingsWith()), [
      { ports: [{ protocol: 'TCP', port: 'http' }] },
    ])
  })

  test('callers are those of the environment, or those that are named, or nobody', () => {
    const settings = settingsWith({ facts: GATEWAY })
    const environment = { 'fairway/environment': 'production', 'fairway/owner': 'test' }
    assert.deepEqual(policy({ routes: [] }, settings), [
      {
        ports: [{ protocol: 'TCP', port: 'http' }],
        from: [{ namespaceSelector: { matchLabels: environment } }],
      },
    ])
    const callers = [{ app: parseAppName('billing'), process: parseProcessName('jobs') }]
    assert.deepEqual(policy({ routes: [], callers }, settings), [
      {
        ports: [{ protocol: 'TCP', port: 'http' }],
        from: [
          {
            namespaceSelector: { matchLabels: { ...environment, 'fairway/app': 'billing' } },
            podSelector: { matchLabels: { 'fairway/process': 'jobs' } },
          },
        ],
      },
    ])
    assert.deepEqual(policy({ routes: [], callers: [] }, settings), [])
  })

  test('where the ranges of the cluster are not known no private address may be called', () => {
    const facts = { ...BARE, clusterRanges: null }
    const objects = planApp(appOf(workloadOf()), settingsWith({ facts }))
    const text = toYaml([find(objects, 'NetworkPolicy', 'fairway--default')])
    for (const range of ['10.0.0.0/8', '169.254.0.0/16', '192.168.0.0/16', '::/0', 'fc00::/7'])
      assert.ok(text.includes(range), range)
    const known = toYaml([find(planOf({}), 'NetworkPolicy', 'fairway--default')])
    assert.ok(known.includes('10.251.0.0/16') && !known.includes('::/0'))
  })
})

test('routes of one host are one route; an Ingress stands in where there is no Gateway', () => {
  const routes = [
    { host: 'b.example.com', path: '/' },
    { host: null, path: '/x' },
    { host: 'b.example.com', path: '/api' },
  ]
  const app = appOf(workloadOf({ routes }))
  const http = planApp(app, settingsWith({ facts: GATEWAY })).filter(
    ({ kind }) => kind === 'HTTPRoute',
  )
  assert.deepEqual(
    http.map((route) => listAt(route, 'spec', 'hostnames')),
    [['b.example.com'], ['shop.apps.example.com']],
  )
  const facts = { ...BARE, ingressClass: 'nginx' }
  const ingress = find(planApp(app, settingsWith({ facts })), 'Ingress', 'web')
  assert.deepEqual(
    listAt(ingress, 'spec', 'rules').map((rule) => [
      textAt(rule, 'host'),
      listAt(rule, 'http', 'paths').map((path) => textAt(path, 'path')),
    ]),
    [
      ['b.example.com', ['/', '/api']],
      ['shop.apps.example.com', ['/x']],
    ],
  )
})

test('a disk of its own makes a StatefulSet whose claims say nothing of a release; a shared one a claim', () => {
  const disk = { name: 'data', sizeBytes: 2 ** 30, mount: '/data', shared: false }
  const stateful = (release: number): KubeObject =>
    find(
      planOf({ volumes: [disk], strategy: 'recreate' }, [trackOf({ release })]),
      'StatefulSet',
      'web',
    )
  const set = stateful(1)
  assert.deepEqual(
    at(set, 'spec', 'volumeClaimTemplates'),
    at(stateful(2), 'spec', 'volumeClaimTemplates'),
  )
  assert.equal(at(set, 'spec', 'serviceName'), 'web--peers')
  assert.deepEqual(at(set, 'spec', 'persistentVolumeClaimRetentionPolicy'), {
    whenDeleted: 'Retain',
    whenScaled: 'Retain',
  })
  const shared = planOf({ volumes: [{ ...disk, shared: true }] })
  assert.deepEqual(at(find(shared, 'PersistentVolumeClaim', 'data'), 'spec', 'accessModes'), [
    'ReadWriteMany',
  ])
  assert.ok(shared.some(({ kind }) => kind === 'Deployment'))
})

test('a scheduled process is a CronJob of the stable release', () => {
  const schedule = {
    cron: '0 3 * * *',
    timezone: 'Europe/Berlin',
    overlap: 'forbid',
    deadlineMs: 60_000,
    retries: 2,
    catchUpMs: 0,
  } as const
  const objects = planOf({ type: 'cron', routes: [], schedule })
  assert.ok(!objects.some(({ kind }) => kind === 'Deployment'))
  const spec = find(objects, 'CronJob', 'web')['spec']
  assert.deepEqual(
    ['schedule', 'timeZone', 'concurrencyPolicy', 'startingDeadlineSeconds'].map((key) =>
      at(spec, key),
    ),
    ['0 3 * * *', 'Europe/Berlin', 'Forbid', 10],
  )
  const job = at(spec, 'jobTemplate', 'spec')
  assert.deepEqual([at(job, 'backoffLimit'), at(job, 'activeDeadlineSeconds')], [2, 60])
  assert.equal(at(job, 'template', 'spec', 'restartPolicy'), 'Never')
  const { labels } = find(objects, 'CronJob', 'web').metadata
  assert.equal(labels['fairway/job'], undefined, 'it is pruned like everything that is planned')
  assert.equal(at(job, 'template', 'metadata', 'labels', 'fairway/job'), 'cron')
})

test('spread and spot', () => {
  const constraints = (change: Partial<ProcessSpec>, track = two): readonly unknown[] =>
    listAt(
      podOf(find(planOf(change, [track]), 'Deployment', 'web-a')),
      'topologySpreadConstraints',
    ).map((one) => [textAt(one, 'topologyKey'), textAt(one, 'whenUnsatisfiable')])
  assert.deepEqual(constraints({}), [])
  assert.deepEqual(constraints({ spread: 'node' }), [['kubernetes.io/hostname', 'DoNotSchedule']])
  assert.deepEqual(constraints({ spread: 'node' }, trackOf({ replicas: 3 })), [
    ['kubernetes.io/hostname', 'ScheduleAnyway'],
  ])
  assert.deepEqual(constraints({ spread: 'zone', spot: 'allow' }), [
    ['topology.kubernetes.io/zone', 'ScheduleAnyway'],
    ['kubernetes.io/hostname', 'ScheduleAnyway'],
    ['karpenter.sh/capacity-type', 'ScheduleAnyway'],
  ])
  const pod = (spot: 'allow' | 'never'): unknown =>
    podOf(find(planOf({ spot }), 'Deployment', 'web-a'))
  assert.ok(
    at(pod('never'), 'affinity') !== undefined && at(pod('never'), 'tolerations') === undefined,
  )
  assert.ok(
    at(pod('allow'), 'affinity') === undefined && at(pod('allow'), 'tolerations') !== undefined,
  )
})

describe('any app', () => {
  const name = fc.constantFrom('web', 'web-a', 'api', 'jobs', 'a').map(parseProcessName)
  const process = fc.record({
    name,
    type: fc.constantFrom('web', 'worker'),
    peers: fc.boolean(),
    autoscale: fc.constantFrom(null, { cpuPercent: 50, memoryPercent: null }),
    spread: fc.constantFrom('none', 'node', 'zone'),
    spot: fc.constantFrom('allow', 'never'),
    volumes: fc.constantFrom(
      [],
      [
        { name: 'tmp', sizeBytes: 1, mount: '/tmp', shared: true },
        { name: 'b', sizeBytes: 1, mount: '/b', shared: true },
      ],
      [{ name: 'c', sizeBytes: 1, mount: '/c', shared: false }],
    ),
    callers: fc.constantFrom(
      null,
      [],
      [
        { app: SHOP.app, process: parseProcessName('web') },
        { app: SHOP.app, process: parseProcessName('api') },
      ],
    ),
    routes: fc.constantFrom(
      [],
      [
        { host: 'x.io', path: '/' },
        { host: null, path: '/' },
      ],
    ),
  })
  const env = fc.dictionary(fc.constantFrom('A', 'B', 'C', 'YES'), fc.string())
  const track = fc.record({ env, replicas: fc.nat(4), release: fc.integer({ min: 1, max: 3 }) })
  const app = fc
    .uniqueArray(fc.record({ process, tracks: fc.array(track, { minLength: 1, maxLength: 2 }) }), {
      selector: (one) => one.process.name,
      minLength: 1,
    })
    .map((list): DesiredApp =>
      appOf(
        ...list.map(({ process: { type, routes, ...rest }, tracks }) =>
          workloadOf(
            { ...rest, type, routes: type === 'web' ? routes : [] },
            tracks.map((one, i) =>
              trackOf({
                ...one,
                release: one.release + i * 10,
                name: i === 0 ? 'stable' : 'candidate',
                weight: tracks.length === 1 ? 100 : 50,
              }),
            ),
          ),
        ),
      ),
    )

  test('plans the same bytes however its maps and lists are ordered', () => {
    fc.assert(
      fc.property(app, fc.boolean(), (desired, gateway) => {
        const settings = settingsWith(gateway ? { facts: GATEWAY } : {})
        assert.equal(
          toYaml(planApp(reversed(desired), settings)),
          toYaml(planApp(desired, settings)),
        )
      }),
      { numRuns: 60 },
    )
  })

  test('has no two objects of one name, and labels and names that a cluster takes', () => {
    fc.assert(
      fc.property(app, (desired) => {
        const objects = planApp(desired, settingsWith({ facts: GATEWAY }))
        const keys = objects.map(objectKey)
        assert.equal(new Set(keys).size, keys.length, keys.join())
        for (const { metadata, kind } of objects) {
          const longest = kind === 'CronJob' ? 52 : 63
          assert.match(metadata.name, /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/)
          assert.ok(metadata.name.length <= longest)
          for (const value of Object.values(metadata.labels))
            assert.match(value, /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/)
        }
      }),
      { numRuns: 60 },
    )
  })

  test('never selects with an empty list of sources, which would mean everybody', () => {
    fc.assert(
      fc.property(app, (desired) => {
        for (const object of planApp(desired, settingsWith({ facts: GATEWAY }))) {
          for (const rule of listAt(object, 'spec', 'ingress')) {
            const from = listAt(rule, 'from')
            assert.ok(from.length > 0, toYaml([object]))
          }
        }
      }),
      { numRuns: 60 },
    )
  })
})

function reversed(desired: DesiredApp): DesiredApp {
  const flip = <Value>(map: Readonly<Record<string, Value>>): Record<string, Value> =>
    Object.fromEntries(Object.entries(map).reverse())
  return {
    ...desired,
    workloads: desired.workloads
      .map((workload) => ({
        ...workload,
        spec: {
          ...workload.spec,
          routes: [...workload.spec.routes].reverse(),
          volumes: [...workload.spec.volumes].reverse(),
          callers: workload.spec.callers === null ? null : [...workload.spec.callers].reverse(),
        },
        tracks: workload.tracks.map((track) => ({ ...track, env: flip(track.env) })).reverse(),
      }))
      .reverse(),
  }
}
