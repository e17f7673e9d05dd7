import assert from 'node:assert/strict'
import { connect, createServer, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { KINDS } from '../src/kubernetes/kinds.ts'
import { namespaceOf } from '../src/kubernetes/labels.ts'
import { PodLogReader } from '../src/kubernetes/log-reader.ts'
import { systemClock } from '../src/lib/clock.ts'
import type { ActualApp, DesiredApp } from '../src/model/engine.ts'
import { parseAppName, parseEnvironmentName, type AppRef } from '../src/model/names.ts'
import { lacksCluster, openTestCluster, type TestCluster } from './cluster/test-cluster.ts'
import { desiredCopies } from './desired-copies.ts'
import { freePorts } from './e2e/private-platform.ts'
import {
  connectionOf,
  engineOn,
  freshOwner,
  importBehaviour,
  namespacesOf,
  type EngineBed,
} from './kubernetes-bed.ts'

const LIMIT_MS = 90_000
const owner = freshOwner()

/** What a real API server answers when something is wrong, and that the state which was asked for comes about in the end. */
describe('kubernetes faults', { skip: await lacksCluster(), timeout: 1_500_000 }, () => {
  let cluster: TestCluster
  let bed: EngineBed
  let apps = 0
  before(async () => {
    cluster = await openTestCluster()
    await importBehaviour(cluster)
    bed = await engineOn(cluster, { owner })
    await bed.engine.open()
  })
  after(async () => {
    for (const kind of ['validatingwebhookconfiguration', 'validatingadmissionpolicybinding'])
      await cluster.tryKubectl(['delete', kind, owner, '--ignore-not-found'])
    for (const kind of ['validatingadmissionpolicy', 'clusterrole', 'clusterrolebinding'])
      await cluster.tryKubectl(['delete', kind, owner, '--ignore-not-found'])
    for (const namespace of await namespacesOf(bed.client, owner))
      await cluster.tryKubectl(['delete', 'namespace', namespace, '--wait=false'])
    await cluster.tryKubectl(['delete', 'namespace', owner, '--ignore-not-found', '--wait=false'])
    await bed.engine.close()
    await cluster.close()
  })

  const newApp = (): AppRef => ({
    app: parseAppName(`${owner}-${String(++apps)}`),
    environment: parseEnvironmentName('production'),
  })
  const converge = async (ref: AppRef, desired: DesiredApp, on = bed): Promise<ActualApp> => {
    await on.engine.apply(desired)
    return until(on, ref, converged)
  }

  /** The API server heeds new admission a moment after it has taken it: until it refuses what such an app would have. */
  const untilRefused = async (ref: AppRef, words: RegExp): Promise<void> => {
    const trial = `${ref.app}-trial`
    const labels = { 'fairway/app': ref.app }
    await apply(cluster, [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: trial, labels } },
    ])
    const create = ['create', 'deployment', 'trial', '--image=x', '--dry-run=server', '-n', trial]
    await eventually(async () => assert.match((await cluster.tryKubectl(create)).stderr, words))
    await cluster.kubectl(['delete', 'namespace', trial, '--wait=false'])
  }

  test('a wrong authority, refused credentials and a dead address are told apart, and hold up nobody', async () => {
    const right = await connectionOf(cluster)
    const token = (text: string) => (): Promise<string> => Promise.resolve(text)
    const credentials = { certificate: null, key: null, token: token('expired.secret.token') }
    const cases = [
      [{ ...right, ...credentials }, 'CLUSTER_UNAUTHORIZED', /refuses the credentials/],
      [{ ...right, ca: null }, 'CLUSTER_UNREACHABLE', /not signed by the kubeconfig’s authority/],
      [{ ...right, server: 'https://127.0.0.1:1' }, 'CLUSTER_UNREACHABLE', /connection refused/],
    ] as const
    for (const [connection, code, message] of cases) {
      const other = await engineOn(cluster, { owner: freshOwner(), connection })
      const ref = newApp()
      await other.engine.open()
      const began = Date.now()
      await other.engine.apply(desiredCopies(ref, 1))
      assert.ok(Date.now() - began < 5_000, 'apply returns at once')
      const told = await until(other, ref, ({ workloads }) =>
        workloads.some(({ diagnosis }) => diagnosis.length > 0),
      )
      assert.match(told.workloads[0]?.diagnosis.join('\n') ?? '', message)
      await assert.rejects(other.client.get(namespaceName('default')), (error) => {
        assert.ok(!JSON.stringify(error).includes('secret.token'))
        return (error as { code?: string }).code === code
      })
      await other.engine.close()
    }
  })

  test('a missing right is named with verb and resource, and is enough once it is given', async () => {
    const account = `system:serviceaccount:${owner}:robot`
    await cluster.kubectl(['create', 'namespace', owner])
    await cluster.kubectl(['create', 'serviceaccount', 'robot', '-n', owner])
    const bind = async (resources: string): Promise<void> => {
      const rules = [
        { apiGroups: ['*'], resources: resources.split(','), verbs: ['*'] },
        { nonResourceURLs: ['*'], verbs: ['get'] },
      ]
      const meta = { name: owner }
      const role = { apiVersion: RBAC, kind: 'ClusterRole', metadata: meta, rules }
      const binding = {
        apiVersion: RBAC,
        kind: 'ClusterRoleBinding',
        metadata: meta,
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: owner },
        subjects: [{ kind: 'User', name: account }],
      }
      await apply(cluster, [role, binding])
    }
    const all =
      'namespaces,serviceaccounts,secrets,services,configmaps,pods,pods/log,events,nodes,persistentvolumeclaims,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,ingresses,ingressclasses,storageclasses,statefulsets,cronjobs,jobs'
    await bind(all)
    const token = (await cluster.kubectl(['create', 'token', 'robot', '-n', owner])).trim()
    const right = await connectionOf(cluster)
    const connection = {
      ...right,
      certificate: null,
      key: null,
      token: () => Promise.resolve(token),
    }
    const limited = await engineOn(cluster, { owner: freshOwner(), connection })
    const ref = newApp()
    await limited.engine.open()
    await limited.engine.apply(desiredCopies(ref, 1))
    const told = await until(limited, ref, ({ workloads }) =>
      workloads.some(({ diagnosis }) => /deployments/.test(diagnosis.join())),
    )
    assert.match(told.workloads[0]?.diagnosis.join('\n') ?? '', /may not list deployments|cannot/)
    await bind(`${all},deployments`)
    await until(limited, ref, converged)
    await limited.engine.remove(ref)
    await limited.engine.close()
  })

  test('a quota that is exceeded fails the workload with its words; the old copies stay', async () => {
    const ref = newApp()
    await converge(ref, desiredCopies(ref, 1))
    const quota = {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'small', namespace: namespaceOf(ref) },
      spec: { hard: { pods: '1' } },
    }
    await apply(cluster, [quota])
    await bed.engine.apply(desiredCopies(ref, 2))
    const failing = await until(bed, ref, failingWithDiagnosis)
    assert.match(failing.workloads[0]?.diagnosis.join('\n') ?? '', /exceeded quota: small/)
    assert.equal(failing.instances.filter(({ state }) => state === 'ready').length, 1)
    await cluster.kubectl(['delete', 'resourcequota', 'small', '-n', namespaceOf(ref)])
    await bed.engine.apply(desiredCopies(ref, 1))
    await until(bed, ref, converged)
    await bed.engine.remove(ref)
  })

  test('an image that cannot be pulled fails with the node’s words', async () => {
    const absent = await engineOn(cluster, {
      owner: freshOwner(),
      imageOf: () => '127.0.0.1:1/absent@sha256:' + 'a'.repeat(64),
    })
    const ref = newApp()
    await absent.engine.open()
    await absent.engine.apply(desiredCopies(ref, 1))
    const failing = await until(absent, ref, failingWithDiagnosis)
    assert.match(
      failing.workloads[0]?.diagnosis.join('\n') ?? '',
      /(ErrImagePull|ImagePullBackOff)/,
    )
    assert.match(failing.workloads[0]?.diagnosis.join('\n') ?? '', /absent/)
    await absent.engine.remove(ref)
    await absent.engine.close()
  })

  test('a copy that no node can take fails with the scheduler’s reason', async () => {
    const ref = newApp()
    await bed.engine.apply(desiredCopies(ref, 1, { memory: 900 * 2 ** 30 }))
    const failing = await until(bed, ref, failingWithDiagnosis)
    assert.match(failing.workloads[0]?.diagnosis.join('\n') ?? '', /no node takes it: .*memory/)
    await converge(ref, desiredCopies(ref, 2))
    await bed.engine.remove(ref)
  })

  test('what admission refuses fails with its message, and goes through once it is allowed', async () => {
    const ref = newApp()
    const policy = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name: owner },
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          namespaceSelector: { matchLabels: { 'fairway/app': ref.app } },
          resourceRules: [
            {
              apiGroups: ['apps'],
              apiVersions: ['v1'],
              operations: ['CREATE'],
              resources: ['deployments'],
            },
          ],
        },
        validations: [{ expression: 'false', message: 'no deployments on Fridays' }],
      },
    }
    const binding = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name: owner },
      spec: { policyName: owner, validationActions: ['Deny'] },
    }
    await apply(cluster, [policy, binding])
    await untilRefused(ref, /no deployments on Fridays/)
    await bed.engine.apply(desiredCopies(ref, 1))
    const failing = await until(bed, ref, failingWithDiagnosis)
    assert.match(failing.workloads[0]?.diagnosis.join('\n') ?? '', /no deployments on Fridays/)
    await cluster.kubectl(['delete', 'validatingadmissionpolicybinding', owner])
    await cluster.kubectl(['delete', 'validatingadmissionpolicy', owner])
    await until(bed, ref, converged)
    await bed.engine.remove(ref)
  })

  test('a webhook that does not answer is named', async () => {
    const ref = newApp()
    const webhook = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name: owner },
      webhooks: [
        {
          name: 'down.fairway.test',
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          timeoutSeconds: 2,
          failurePolicy: 'Fail',
          clientConfig: { url: 'https://127.0.0.1:1/' },
          namespaceSelector: { matchLabels: { 'fairway/app': ref.app } },
          rules: [
            {
              apiGroups: ['apps'],
              apiVersions: ['v1'],
              operations: ['CREATE'],
              resources: ['deployments'],
            },
          ],
        },
      ],
    }
    await apply(cluster, [webhook])
    await untilRefused(ref, /webhook "down\.fairway\.test"/)
    await bed.engine.apply(desiredCopies(ref, 1))
    const failing = await until(bed, ref, failingWithDiagnosis)
    assert.match(failing.workloads[0]?.diagnosis.join('\n') ?? '', /webhook "down\.fairway\.test"/)
    await cluster.kubectl(['delete', 'validatingwebhookconfiguration', owner])
    await until(bed, ref, converged)
    await bed.engine.remove(ref)
  })

  test('what is deleted or changed by hand comes back', async () => {
    const ref = newApp()
    const namespace = namespaceOf(ref)
    await converge(ref, desiredCopies(ref, 1))
    const deployment = { kind: KINDS.Deployment, namespace, name: 'web-a' }
    await cluster.kubectl(['delete', 'service', 'web', '-n', namespace])
    await eventually(async () => {
      assert.ok(await bed.client.get({ kind: KINDS.Service, namespace, name: 'web' }))
    })
    await cluster.kubectl(['scale', 'deployment', 'web-a', '-n', namespace, '--replicas=0'])
    await eventually(async () => {
      const live = await bed.client.get(deployment)
      assert.equal((live?.['spec'] as { replicas?: number }).replicas, 1)
    })
    const patch = JSON.stringify([{ op: 'remove', path: '/metadata/labels' }])
    await cluster.kubectl(['patch', 'service', 'web', '-n', namespace, '--type=json', '-p', patch])
    await eventually(async () => {
      const live = await bed.client.get({ kind: KINDS.Service, namespace, name: 'web' })
      const { labels } = live?.['metadata'] as { labels?: Record<string, string> }
      assert.equal(labels?.['fairway/owner'], owner)
    })
    await cluster.kubectl(['delete', 'deployment', 'web-a', '-n', namespace])
    await until(bed, ref, ({ instances }) => instances.every(({ state }) => state !== 'ready'))
    await until(bed, ref, converged)
    await bed.engine.remove(ref)
  })

  test('an object that others made is not touched until it is adopted; another manager’s field is named', async () => {
    const ref = newApp()
    const namespace = namespaceOf(ref)
    await converge(ref, desiredCopies(ref, 0))
    await cluster.kubectl(['create', 'service', 'clusterip', 'api', '-n', namespace, '--tcp=1'])
    const before = await cluster.kubectl(['get', 'service', 'api', '-n', namespace, '-o', 'json'])
    const wanted = desiredCopies(ref, 1, { process: 'api' })
    await bed.engine.apply(wanted)
    const refused = await until(bed, ref, failingWithDiagnosis)
    assert.match(
      refused.workloads[0]?.diagnosis.join('\n') ?? '',
      new RegExp(`Service ${namespace}/api exists and was not made by Fairway[^]*fairway adopt`),
    )
    const still = await cluster.kubectl(['get', 'service', 'api', '-n', namespace, '-o', 'json'])
    assert.equal(still, before)
    await bed.engine.adopt(ref, [`Service ${namespace}/api`])
    await until(bed, ref, converged)
    const other = [
      'apply',
      '--server-side',
      '--validate=false',
      '--field-manager=other',
      '--force-conflicts',
    ]
    await apply(
      cluster,
      [
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'api-a', namespace },
          spec: { replicas: 2 },
        },
      ],
      other,
    )
    const conflict = await until(bed, ref, failingWithDiagnosis)
    assert.match(
      conflict.workloads[0]?.diagnosis.join('\n') ?? '',
      /\.spec\.replicas belongs to other/,
    )
    await bed.engine.adopt(ref, [`Deployment ${namespace}/api-a`])
    await until(bed, ref, converged)
    await bed.engine.remove(ref)
    // The Service that was not ours at first is now; nothing of others is left, so the namespace is gone.
    assert.equal(await bed.client.get(namespaceName(namespace)), null)
  })

  test('a namespace with something of others in it stays, without anything of ours', async () => {
    const ref = newApp()
    const namespace = namespaceOf(ref)
    await converge(ref, desiredCopies(ref, 1))
    await cluster.kubectl(['create', 'configmap', 'mine', '-n', namespace, '--from-literal=a=b'])
    await bed.engine.remove(ref)
    await cluster.kubectl(['get', 'configmap', 'mine', '-n', namespace])
    assert.equal(
      (
        await cluster.kubectl([
          'get',
          'deploy,svc,sa',
          '-n',
          namespace,
          '-l',
          `fairway/owner=${owner}`,
          '-o',
          'name',
        ])
      ).trim(),
      '',
    )
    assert.ok(!(await namespacesOf(bed.client, owner)).includes(namespace))
    await cluster.kubectl(['delete', 'namespace', namespace, '--wait=false'])
  })

  test('dropped watches and a cluster out of reach are survived; steady state asks for nothing', async () => {
    const ref = newApp()
    const right = await connectionOf(cluster)
    const line = await openLine(new URL(right.server))
    const connection = {
      ...right,
      server: `https://127.0.0.1:${String(line.port)}`,
      serverName: new URL(right.server).hostname,
    }
    const far = await engineOn(cluster, {
      owner: freshOwner(),
      connection: { ...connection, insecure: true, serverName: null },
    })
    await far.engine.open()
    await converge(ref, desiredCopies(ref, 1), far)
    line.cut()
    await cluster.kubectl(['delete', 'service', 'web', '-n', namespaceOf(ref)])
    await eventually(async () => {
      assert.ok(
        await bed.client.get({ kind: KINDS.Service, namespace: namespaceOf(ref), name: 'web' }),
      )
    })
    await line.close()
    await until(far, ref, ({ workloads }) =>
      /does not answer/.test(workloads[0]?.diagnosis.join() ?? ''),
    )
    await far.engine.apply(desiredCopies(ref, 2))
    await line.reopen()
    await until(far, ref, (actual) => converged(actual) && actual.workloads[0]?.release === 2)
    await eventually(async () => {
      const asked = far.client.requests
      await new Promise((resolve) => setTimeout(resolve, 4_000))
      assert.ok(far.client.requests - asked <= 2, `${String(far.client.requests - asked)} in 4 s`)
    })
    await far.engine.remove(ref)
    await far.engine.close()
    await line.close()
  })

  test('two engines of one owner agree', async () => {
    const ref = newApp()
    const second = await engineOn(cluster, { owner })
    await second.engine.apply(desiredCopies(ref, 1))
    // What the first one's suite left is no business of the second.
    for (const namespace of await namespacesOf(bed.client, owner))
      await cluster.tryKubectl(['delete', 'namespace', namespace])
    await Promise.all([second.engine.open(), bed.engine.apply(desiredCopies(ref, 1))])
    await Promise.all([until(bed, ref, converged), until(second, ref, converged)])
    await Promise.all([
      second.engine.apply(desiredCopies(ref, 2)),
      bed.engine.apply(desiredCopies(ref, 2)),
    ])
    await Promise.all([until(bed, ref, converged), until(second, ref, converged)])
    const live = await bed.client.get({
      kind: KINDS.Deployment,
      namespace: namespaceOf(ref),
      name: 'web-a',
    })
    assert.equal((live?.['metadata'] as { generation?: number }).generation, 2)
    await second.engine.close()
    await bed.engine.remove(ref)
  })

  test('exec: input to its end, both outputs, exit codes, a terminal of any size; usage', async () => {
    const ref = newApp()
    const { instances } = await converge(ref, desiredCopies(ref, 1))
    const id = instances[0]?.id ?? ''
    const script =
      'process.stdin.on("data",(d)=>process.stdout.write(String(d).toUpperCase())).on("end",()=>{console.error("end");process.exitCode=7})'
    const plain = { argv: ['/bin/node', '-e', script], env: {}, tty: false }
    const session = await bed.engine.exec(ref, id, plain)
    const [out, err] = [textOf(session.stdio), textOf(session.stderr)]
    session.stdio.end('héllo')
    assert.deepEqual([(await session.exit).code, await out, await err], [7, 'HÉLLO', 'end\n'])
    const size =
      'process.stdout.on("resize",()=>{console.log(process.stdout.columns+"x"+process.stdout.rows);process.exit()});setInterval(()=>{},1000);console.log("on")'
    const terminal = await bed.engine.exec(ref, id, {
      argv: ['/bin/node', '-e', size],
      env: {},
      tty: true,
    })
    terminal.stdio.once('data', () => terminal.resize(91, 37))
    assert.match(await textOf(terminal.stdio), /91x37/)
    assert.equal((await terminal.exit).code, 0)
    await assert.rejects(bed.engine.exec(ref, 'web-none', plain), { code: 'NOT_FOUND' })
    await eventually(async () => {
      const usage = (await bed.engine.usage(ref)).get(id)
      assert.ok((usage?.memoryBytes ?? 0) > 1 << 20)
      assert.equal(usage?.memoryLimitBytes, 64 << 20)
    })
    await bed.engine.remove(ref)
  })

  test('logs of copies: history, search, follow over a rollout', async () => {
    const ref = newApp()
    await converge(ref, desiredCopies(ref, 1))
    const logs = new PodLogReader({
      client: bed.client,
      pods: (of) => bed.engine.pods(of),
      changed: (of, signal) => bed.engine.changed(of, signal),
      clock: systemClock,
    })
    const stop = new AbortController()
    const lines: string[] = []
    const reading = (async () => {
      for await (const line of logs.read(ref, { limit: 10, follow: true }, stop.signal)) {
        lines.push(`${String(line.release)} ${line.text}`)
      }
    })()
    await converge(ref, desiredCopies(ref, 2))
    await eventually(() => {
      assert.deepEqual(lines, ['1 version 1 begins', '2 version 2 begins'])
      return Promise.resolve()
    })
    stop.abort()
    await reading
    const found: string[] = []
    const query = { limit: 5, follow: false, grep: 'version 2', process: 'web' }
    for await (const { text } of logs.read(ref, query, AbortSignal.timeout(10_000)))
      found.push(text)
    assert.deepEqual(found, ['version 2 begins'])
    await bed.engine.remove(ref)
  })
})

const RBAC = 'rbac.authorization.k8s.io/v1'

async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream ?? []) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString('utf8')
}

function namespaceName(name: string): Parameters<EngineBed['client']['get']>[0] {
  return { kind: KINDS.Namespace, namespace: null, name }
}

function converged({ workloads }: ActualApp): boolean {
  return workloads.length > 0 && workloads.every(({ phase }) => phase === 'converged')
}

function failingWithDiagnosis({ workloads }: ActualApp): boolean {
  return workloads.some(({ phase, diagnosis }) => phase === 'failing' && diagnosis.length > 0)
}

async function until(
  { engine }: EngineBed,
  ref: AppRef,
  what: (actual: ActualApp) => boolean,
): Promise<ActualApp> {
  for await (const actual of engine.watch(ref, AbortSignal.timeout(LIMIT_MS)))
    if (what(actual)) return actual
  throw new Error(`not in time: ${JSON.stringify(engine.actual(ref), null, 1)}`)
}

async function eventually(check: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + LIMIT_MS
  for (;;) {
    try {
      await check()
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

async function apply(
  cluster: TestCluster,
  objects: readonly unknown[],
  command: readonly string[] = ['apply'],
): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: objects }
  await cluster.kubectl([...command, '-f', '-'], JSON.stringify(list))
}

interface Line {
  readonly port: number
  /** Breaks every connection; new ones work. */
  cut(): void
  /** Breaks every connection and takes no new ones. */
  close(): Promise<void>
  reopen(): Promise<void>
}

/** A wire to the API server that can be cut. */
async function openLine(to: URL): Promise<Line> {
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect({ host: to.hostname, port: Number(to.port) })
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.pipe(other)
      one.on('error', () => other.destroy())
      one.once('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
  })
  const listen = (port: number): Promise<void> =>
    new Promise((resolve) => server.listen(port, '127.0.0.1', resolve))
  // Also free when it is opened again.
  const [port = 0] = await freePorts(1)
  await listen(port)
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port,
    cut,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      cut()
      await closed
    },
    reopen: () => listen(port),
  }
}
