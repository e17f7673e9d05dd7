import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { BUSYBOX_IMAGE, writeBusyboxImage } from '../../test/cluster/busybox-image.ts'
import { lacksCluster, openTestCluster, type TestCluster } from '../../test/cluster/test-cluster.ts'
import { waitFor } from '../../test/cluster/wait.ts'
import {
  appOf,
  BARE,
  GATEWAY,
  IMAGE,
  processWith,
  settingsWith,
  specOf,
  trackOf,
  workloadOf,
} from '../../test/fakes/cluster-plan.ts'
import type { ProcessSpec } from '../model/app-spec.ts'
import type { DesiredApp, JobRequest } from '../model/engine.ts'
import { parseAppName, parseEnvironmentName, parseProcessName } from '../model/names.ts'
import { exportFiles } from './export.ts'
import { namespaceOf } from './labels.ts'
import { toYaml, type KubeObject } from './object.ts'
import { planApp } from './plan-app.ts'
import { planJob, jobName } from './plan-job.ts'

const GATEWAY_CRDS = resolve(import.meta.dirname, '../../test/cluster/crds/gateway-api-1.6.1.yaml')
const ref = {
  app: parseAppName(`plan${String(process.pid)}`),
  environment: parseEnvironmentName('test'),
}
const namespace = namespaceOf(ref)
const resources = { cpu: 0.1, memory: 32 << 20, pids: 512 }
const settings = settingsWith({
  owner: ref.app,
  imageOf: () => BUSYBOX_IMAGE,
  pullSecret: { name: 'registry', dockerConfigJson: '{"auths":{}}' },
  minReadySeconds: 1,
})
const SERVE = 'echo $VERSION >/tmp/index.html; exec httpd -f -p $PORT -h /tmp'
const disk = { name: 'data', sizeBytes: 1 << 20, mount: '/data', shared: false }
const schedule = {
  cron: '0 3 * * mon',
  timezone: 'Europe/Berlin',
  overlap: 'forbid',
  deadlineMs: 60_000,
  retries: 1,
  catchUpMs: 0,
} as const

function web(version: string, change: Partial<ProcessSpec> = {}): DesiredApp['workloads'][number] {
  return workloadOf(
    {
      command: ['sh', '-c', SERVE],
      resources,
      port: 80,
      health: { ...processWith().health, ready: '/' },
      shutdown: { signal: 'SIGTERM', drainMs: 0, stopMs: 1000 },
      ...change,
    },
    [trackOf({ replicas: 2, env: { VERSION: version } })],
  )
}

/** Everything that a plan can have in it. */
function everything(): DesiredApp {
  const others: readonly Partial<ProcessSpec>[] = [
    { name: parseProcessName('db'), volumes: [disk], strategy: 'recreate' },
    {
      name: parseProcessName('files'),
      volumes: [{ ...disk, name: 'shared', shared: true }],
      strategy: 'recreate',
      spot: 'allow',
    },
    { name: parseProcessName('nightly'), type: 'cron', routes: [], schedule },
    { name: parseProcessName('worker'), type: 'worker', routes: [] },
  ]
  return {
    ref,
    target: null,
    workloads: [
      web('1', {
        peers: true,
        spread: 'node',
        autoscale: { cpuPercent: 70, memoryPercent: 80 },
        scale: { min: 2, max: 4 },
        callers: [{ app: parseAppName('billing'), process: parseProcessName('web') }],
        health: { ...processWith().health, live: '/' },
      }),
      ...others.map((change) => workloadOf({ resources, ...change })),
    ],
  }
}

const job: JobRequest = {
  ref,
  spec: specOf(appOf(web('1'))),
  process: parseProcessName('web'),
  release: 1,
  image: IMAGE,
  argv: ['sh', '-c', 'echo "$A as $(id -u)"; touch /etc/x'],
  env: { A: 'moved' },
  timeoutMs: 60_000,
  key: 'release-1',
}

suite('plans on a real API server', { skip: await lacksCluster(), timeout: 600_000 }, () => {
  let cluster: TestCluster
  let folder = ''
  let madeCrds = false
  const apply = (objects: readonly KubeObject[], ...more: string[]) =>
    cluster.tryKubectl(
      ['apply', '--server-side', '--field-manager=fairway', ...more, '-f', '-'],
      toYaml(objects),
    )
  const kubectl = (...args: string[]): Promise<string> =>
    cluster.kubectl(['-n', namespace, ...args])

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fairway-plan-test-'))
    cluster = await openTestCluster()
    if (cluster.lab !== null) {
      await writeBusyboxImage(join(folder, 'busybox.tar'))
      await cluster.lab.importImage(join(folder, 'busybox.tar'))
    }
    const crds = await cluster.tryKubectl(['get', 'crd', 'httproutes.gateway.networking.k8s.io'])
    if (crds.code !== 0) {
      madeCrds = true
      await cluster.kubectl(['apply', '--server-side', '-f', GATEWAY_CRDS])
      await cluster.kubectl(['wait', '--for=condition=Established', '-f', GATEWAY_CRDS])
    }
    const made = await apply(planJob(job, settings))
    assert.equal(made.code, 0, made.stderr)
  })

  after(async () => {
    await cluster.tryKubectl(['delete', 'namespace', namespace, '--wait=false'])
    await cluster.tryKubectl(['-n', 'default', 'delete', 'pod', ref.app, '--ignore-not-found'])
    if (madeCrds) await cluster.tryKubectl(['delete', '-f', GATEWAY_CRDS])
    await cluster.close()
    await rm(folder, { recursive: true, force: true })
  })

  for (const [name, facts] of [
    ['a Gateway', GATEWAY],
    ['an Ingress class', { ...BARE, ingressClass: 'any', clusterRanges: null }],
  ] as const)
    test(`every object is taken as it is, with ${name}, and PodSecurity has nothing to say`, async () => {
      const objects = planApp(everything(), { ...settings, facts })
      const answer = await apply(objects, '--dry-run=server')
      assert.equal(answer.code, 0, answer.stderr)
      assert.equal(answer.stderr, '')
      assert.equal(answer.stdout.trim().split('\n').length, objects.length)
    })

  test('two tracks are taken as well', async () => {
    const candidate = trackOf({ name: 'candidate', release: 2, weight: 5, env: { VERSION: '2' } })
    const [one] = everything().workloads
    assert.ok(one)
    const [stable] = one.tracks
    assert.ok(stable)
    const tracks = [
      { ...stable, weight: 95 },
      { ...candidate, spec: one.spec },
    ]
    const desired = { ...everything(), workloads: [{ ...one, tracks }] }
    const answer = await apply(
      planApp(desired, { ...settings, facts: GATEWAY }),
      '--dry-run=server',
    )
    assert.equal(answer.code, 0, answer.stderr)
  })

  test('an export is taken by kubectl, Kustomize included', async () => {
    const files = exportFiles({ desired: everything(), job: null, settings, secrets: 'write' })
    for (const [path, text] of files) {
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, path), text)
    }
    const answer = await cluster.tryKubectl([
      ...['apply', '--server-side', '--dry-run=server', '--field-manager=fairway'],
      ...['-k', join(folder, `envs/${ref.environment}/${ref.app}`)],
    ])
    assert.equal(answer.code, 0, answer.stderr)
  })

  test('a job runs as nobody, cannot write its root, and is found by its key', async () => {
    const name = `job/${jobName(job)}`
    await waitFor('the end of the job', 60_000, async () => {
      const text = await kubectl('get', name, '-o', 'jsonpath={.status.conditions[*].type}')
      return /Complete|Failed/.test(text) ? text : null
    })
    const log = await kubectl('logs', name)
    assert.match(log, /moved as 65532/)
    assert.match(log, /Read-only file system/)
  })

  test('an app serves on a low port without a capability; the next release rolls in its slot', async () => {
    const deploy = async (version: string): Promise<void> => {
      const answer = await apply(
        planApp({ ref, target: null, workloads: [web(version)] }, settings),
      )
      assert.equal(answer.code, 0, answer.stderr)
      await kubectl('rollout', 'status', 'deployment/web-a', '--timeout=120s')
    }
    const pages = async (): Promise<string> => {
      const ask = 'for i in 1 2 3 4; do wget -qO- http://127.0.0.1:$PORT/; done'
      return kubectl('exec', 'deployment/web-a', '--', 'sh', '-c', ask)
    }
    await deploy('one')
    assert.equal(await pages(), 'one\n'.repeat(4))
    await deploy('two')
    assert.equal(await pages(), 'two\n'.repeat(4))
    const again = await apply(
      planApp({ ref, target: null, workloads: [web('two')] }, settings),
      '--dry-run=server',
      '-o=jsonpath={.items[?(@.kind=="Deployment")].metadata.generation}',
    )
    assert.equal(again.code, 0, again.stderr)
    const generation = await kubectl(
      'get',
      'deployment/web-a',
      '-o=jsonpath={.metadata.generation}',
    )
    assert.equal(again.stdout, generation, 'the same plan changes nothing')
  })

  test('the network lets in who may call and out to names and neighbours, nobody else', async (t) => {
    if (cluster.lab === null) {
      t.skip('not every cluster enforces NetworkPolicy')
      return
    }
    const inner: Partial<ProcessSpec> = { routes: [], command: ['sh', '-c', SERVE] }
    const tracks = (name: string): DesiredApp['workloads'][number] =>
      web('inner', { ...inner, name: parseProcessName(name) })
    const closed = { ...tracks('closed') }
    const workloads = [
      web('outer'),
      tracks('open'),
      { ...closed, spec: { ...closed.spec, callers: [] } },
    ].map((one) => ({ ...one, tracks: one.tracks.map((track) => ({ ...track, replicas: 1 })) }))
    const answer = await apply(planApp({ ref, target: null, workloads }, settings))
    assert.equal(answer.code, 0, answer.stderr)
    for (const name of ['web-a', 'open-a', 'closed-a'])
      await kubectl('rollout', 'status', `deployment/${name}`, '--timeout=120s')
    const stranger = await cluster.tryKubectl(
      ['apply', '--server-side', '-f', '-'],
      JSON.stringify(strangerPod()),
    )
    assert.equal(stranger.code, 0, stranger.stderr)
    await cluster.kubectl(['-n', 'default', 'wait', '--for=condition=Ready', `pod/${ref.app}`])
    const ask = async (from: readonly string[], process: string): Promise<string> => {
      const url = `http://${process}.${namespace}.svc.cluster.local/`
      const { stdout } = await cluster.tryKubectl([
        ...['exec', ...from, '--', 'timeout', '4', 'wget', '-qO-', url],
      ])
      return stdout.trim()
    }
    const neighbour = ['-n', namespace, 'deployment/web-a']
    const outsider = ['-n', 'default', ref.app]
    assert.equal(await ask(neighbour, 'open'), 'inner')
    assert.equal(await ask(neighbour, 'closed'), '')
    assert.equal(await ask(outsider, 'web'), 'outer', 'routes are open to everybody')
    assert.equal(await ask(outsider, 'open'), '')
  })
})

/** A pod of somebody else. */
function strangerPod(): unknown {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: ref.app, namespace: 'default' },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'app',
          image: BUSYBOX_IMAGE,
          command: ['sleep', '1000'],
          resources: { limits: { cpu: '100m', memory: '16Mi' } },
        },
      ],
    },
  }
}
