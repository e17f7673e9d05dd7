import assert from 'node:assert/strict'
import { once } from 'node:events'
import { access, mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { identify } from '../../src/lib/process-identity.ts'
import { run } from '../../src/lib/process.ts'
import { BUSYBOX, BUSYBOX_IMAGE, writeBusyboxImage } from './busybox-image.ts'
import { lacksCluster, openTestCluster, type TestCluster } from './test-cluster.ts'
import { waitFor, waitUntil } from './wait.ts'

const NAMESPACE = 'lab-test'

async function lacks(): Promise<string | false> {
  const own = process.env['KUBECONFIG'] ?? ''
  if (own !== '') return 'tests the lab itself; KUBECONFIG is set'
  const missing = await lacksCluster()
  if (missing !== false) return missing
  return access(BUSYBOX).then(
    () => false,
    () => 'needs busybox-static',
  )
}

suite('a lab of two nodes', { skip: await lacks(), timeout: 1_500_000 }, () => {
  let cluster: TestCluster
  let work = ''
  let isOpen = false
  const kubectl = (...args: string[]): Promise<string> =>
    cluster.kubectl(['-n', NAMESPACE, ...args])
  const apply = (...objects: object[]): Promise<string> =>
    cluster.kubectl(
      ['-n', NAMESPACE, 'apply', '--server-side', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
    )

  before(async () => {
    work = await mkdtemp(join(tmpdir(), 'fairway-lab-test-'))
    cluster = await openTestCluster({ nodes: 2, alone: true })
    isOpen = true
    await writeBusyboxImage(join(work, 'busybox.tar'))
    await cluster.lab?.importImage(join(work, 'busybox.tar'))
    await apply({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: NAMESPACE,
        labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
      },
    })
    await apply(deployment('web', 2, 'one'), service('web'))
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=180s')
  })

  after(async () => {
    await rm(work, { recursive: true, force: true })
    if (!isOpen) return
    const index = (await cluster.lab?.state())?.record.index
    await cluster.close()
    const links = await run('ip', ['-o', 'link'])
    assert.ok(!links.includes(`fwlab${String(index)}:`), 'the link is gone')
    assert.ok(!(await readdir(cgroupFolder())).includes(`fairway-lab-t${String(process.pid)}`))
    await assert.rejects(access(cluster.kubeconfig), 'its folder is gone')
  })

  test('versions are what was built', async () => {
    const versions = JSON.parse(await kubectl('version', '-o', 'json')) as {
      readonly serverVersion: { readonly gitVersion: string }
    }
    assert.equal(versions.serverVersion.gitVersion, 'v1.34.9')
    const kubelets = await kubectl('get', 'nodes', '-o', 'jsonpath={..kubeletVersion}')
    assert.equal(kubelets, 'v1.34.9 v1.34.9')
  })

  test('pods run on both nodes, exec and logs work', async () => {
    const nodes = await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={..nodeName}')
    assert.deepEqual(nodes.split(' ').sort(), ['node1', 'node2'])
    assert.match(await kubectl('exec', 'deploy/web', '--', 'id'), /uid=1000/)
    assert.match(await kubectl('logs', 'deploy/web'), /version one begins/)
  })

  test('a Service answers by name inside, by address and NodePort from this host', async () => {
    const url = `http://web.${NAMESPACE}.svc.cluster.local`
    const ask = ['-n', NAMESPACE, 'exec', 'deploy/web', '--', 'timeout', '5', 'wget', '-qO-', url]
    // DNS and the rules for Services follow a Service by a second or two.
    await waitUntil('it answers inside', 60_000, async () => {
      return (await cluster.tryKubectl(ask)).stdout === 'one\n'
    })
    const answers = async (address: string): Promise<boolean> =>
      (await get(`http://${address}/`).catch(String)) === 'one\n'
    const address = await kubectl('get', 'service/web', '-o', 'jsonpath={.spec.clusterIP}')
    await waitUntil('its address answers', 60_000, () => answers(address))
    const port = await kubectl('get', 'service/web', '-o', 'jsonpath={..nodePort}')
    for (const node of await addressesOf(cluster))
      await waitUntil(`${node} answers`, 60_000, () => answers(`${node}:${port}`))
  })

  test('a rolling update is seen by all requests once the nodes have heard of it', async () => {
    await apply(deployment('web', 2, 'two'))
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=180s')
    const address = await kubectl('get', 'service/web', '-o', 'jsonpath={.spec.clusterIP}')
    // Rules for Services follow the rollout by a second or two.
    await waitFor('ten answers of the new version in a row', 60_000, async () => {
      for (let count = 0; count < 10; count++)
        if ((await get(`http://${address}/`)) !== 'two\n') return null
      return true
    })
  })

  test('a Job ends', async () => {
    await apply(job('once', 'echo done'))
    await kubectl('wait', '--for=condition=Complete', 'job/once', '--timeout=180s')
    assert.equal(await kubectl('logs', 'job/once'), 'done\n')
  })

  test('a pod over its memory limit is OOMKilled', async () => {
    await apply(job('greedy', 'dd if=/dev/zero of=/dev/null bs=200M count=1'))
    const reason = await waitFor('the pod ended', 180_000, async () => {
      const path = 'jsonpath={..state.terminated.reason}'
      const said = await kubectl('get', 'pods', '-l', 'job-name=greedy', '-o', path)
      return said === '' ? null : said
    })
    assert.match(reason, /OOMKilled/)
  })

  test('a claim gets a volume that a pod can write', async () => {
    const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } }
    const metadata = { name: 'data' }
    await apply({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec: claim })
    const mount = { name: 'data', mountPath: '/data' }
    const volume = { name: 'data', persistentVolumeClaim: { claimName: 'data' } }
    await apply(job('writer', 'echo kept > /data/file; cat /data/file', [mount], [volume]))
    await kubectl('wait', '--for=condition=Complete', 'job/writer', '--timeout=180s')
    assert.equal(await kubectl('logs', 'job/writer'), 'kept\n')
  })

  test('NetworkPolicy is enforced, for ingress and egress, also through a Service', async () => {
    const url = `http://web.${NAMESPACE}.svc.cluster.local`
    const ask = async (label: string): Promise<boolean> => {
      const wget = ['exec', `deploy/${label}`, '--', 'timeout', '2', 'wget', '-qO-', url]
      return (await cluster.tryKubectl(['-n', NAMESPACE, ...wget])).code === 0
    }
    await apply(deployment('friend', 1, 'friend'), deployment('stranger', 1, 'stranger'))
    for (const name of ['friend', 'stranger']) {
      await kubectl('rollout', 'status', `deployment/${name}`, '--timeout=180s')
      await waitUntil(`${name} is let in before there is a policy`, 60_000, () => ask(name))
    }
    const friend = { podSelector: { matchLabels: { app: 'friend' } } }
    const ingress = [{ from: [friend], ports: [{ port: 8080 }] }]
    await apply(policy('web', 'web', { policyTypes: ['Ingress'], ingress }))
    await waitUntil('the stranger is kept out', 60_000, async () => !(await ask('stranger')))
    // Two seconds are little for one request where much else goes on, and new pods are known to all nodes a moment later.
    await waitUntil('the friend is let in', 60_000, () => ask('friend'))
    await kubectl('rollout', 'restart', 'deployment/web')
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=180s')
    await waitUntil('probes and the friend reach new pods', 60_000, () => ask('friend'))
    await apply(policy('friend', 'friend', { policyTypes: ['Egress'], egress: [] }))
    await waitUntil('the friend is kept in', 60_000, async () => !(await ask('friend')))
    await kubectl('delete', 'networkpolicy', '--all')
    await waitUntil('the stranger is let in', 60_000, () => ask('stranger'))
  })

  test('usage of pods and nodes is measured', async () => {
    await waitUntil('pods are measured', 180_000, async () => {
      const { code, stdout } = await cluster.tryKubectl(['-n', NAMESPACE, 'top', 'pods'])
      return code === 0 && /^web-\S+\s+\d+m\s+\d+Mi/m.test(stdout)
    })
    assert.match(await kubectl('top', 'nodes'), /^node1 /m)
  })

  test('nodes pull from a registry on loopback of this host', async () => {
    const asked: string[] = []
    const registry = createServer((received, response) => {
      asked.push(received.url ?? '')
      response.writeHead(404).end()
    })
    await once(registry.listen(0, '127.0.0.1'), 'listening')
    try {
      const { port } = registry.address() as AddressInfo
      await cluster.lab?.setRegistry(`127.0.0.1:${String(port)}`)
      const spec = podSpec('exit 0', [], [])
      const image = '127.0.0.1:5000/some/app:1'
      const [container] = spec.containers
      const pod = { ...spec, containers: [{ ...container, image, imagePullPolicy: 'Always' }] }
      await apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'pulled' }, spec: pod })
      await waitUntil('the registry was asked', 90_000, () =>
        asked.some((path) => path.startsWith('/v2/some/app/manifests/1')),
      )
    } finally {
      registry.closeAllConnections()
      registry.close()
      await cluster.lab?.setRegistry(null)
      await kubectl('delete', 'pod/pulled', '--ignore-not-found')
    }
  })

  test('the API server can be killed and started again', async () => {
    await cluster.lab?.component('kube-apiserver', 'kill')
    assert.notEqual((await cluster.tryKubectl(['get', '--raw', '/readyz'])).code, 0)
    await cluster.lab?.component('kube-apiserver', 'start')
    await waitUntil('ready again', 180_000, async () => {
      return (await cluster.tryKubectl(['get', '--raw', '/readyz'])).code === 0
    })
  })

  test('a drain heeds a PodDisruptionBudget', async () => {
    await apply({
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'web' },
      spec: { minAvailable: 2, selector: { matchLabels: { app: 'web' } } },
    })
    await waitUntil('the budget is counted', 90_000, async () => {
      const path = 'jsonpath={.status.currentHealthy}'
      return (await kubectl('get', 'pdb/web', '-o', path)) === '2'
    })
    const drain = ['drain', 'node2', '--ignore-daemonsets', '--delete-emptydir-data']
    const refused = await cluster.tryKubectl([...drain, '--timeout=5s'])
    assert.notEqual(refused.code, 0)
    assert.match(refused.stderr, /would violate the pod's disruption budget/)
    const change = '{"spec":{"minAvailable":1}}'
    await kubectl('patch', 'pdb/web', '--type=merge', '-p', change)
    await cluster.kubectl([...drain, '--timeout=300s'])
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=180s')
    const nodes = await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={..nodeName}')
    assert.ok(nodes.includes('node1 node1'), nodes)
    await cluster.kubectl(['uncordon', 'node2'])
  })

  test('a node that loses its power comes back', async () => {
    const ready = async (): Promise<string> => {
      const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
      return cluster.kubectl(['get', 'node', 'node2', '-o', path])
    }
    await cluster.lab?.component('node2', 'kill')
    await waitUntil('it is missed', 180_000, async () => (await ready()) === 'Unknown')
    await cluster.lab?.component('node2', 'start')
    await waitUntil('it is ready', 180_000, async () => (await ready()) === 'True')
    // Its taints go after that, and nothing is scheduled there before.
    await waitUntil('it takes pods', 60_000, async () => {
      return (
        (await cluster.kubectl(['get', 'node', 'node2', '-o', 'jsonpath={.spec.taints}'])) === ''
      )
    })
    await apply(deployment('back', 4, 'back'))
    await kubectl('rollout', 'status', 'deployment/back', '--timeout=180s')
    const nodes = await kubectl('get', 'pods', '-l', 'app=back', '-o', 'jsonpath={..nodeName}')
    assert.ok(nodes.includes('node2'), nodes)
  })

  test('when the supervisor is killed, all its processes end; taking the lab down clears the rest', async () => {
    const state = await cluster.lab?.state()
    assert.ok(state)
    const pids = [state.record.holder ?? 0, ...state.record.nodes.map(({ pid }) => pid)]
    for (const pid of pids) assert.notEqual(await identify(pid), null)
    process.kill(state.record.supervisor.pid, 'SIGKILL')
    for (const pid of pids) {
      await waitUntil(`${String(pid)} ended`, 60_000, async () => (await identify(pid)) === null)
    }
  })
})

function deployment(name: string, replicas: number, version: string): object {
  const script = `echo version ${version} begins; mkdir /tmp/web; echo ${version} > /tmp/web/index.html; exec httpd -f -p 8080 -h /tmp/web`
  const spec = podSpec(script, [], [])
  const [container] = spec.containers
  const probe = { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 }
  const served = { ...container, readinessProbe: probe, livenessProbe: probe }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { ...spec, restartPolicy: 'Always', containers: [served] },
      },
    },
  }
}

function service(name: string): object {
  const spec = {
    type: 'NodePort',
    selector: { app: name },
    ports: [{ port: 80, targetPort: 8080 }],
  }
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec }
}

function policy(name: string, app: string, rules: object): object {
  const spec = { podSelector: { matchLabels: { app } }, ...rules }
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name }, spec }
}

function job(name: string, script: string, mounts: object[] = [], volumes: object[] = []): object {
  const spec = podSpec(script, mounts, volumes)
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name },
    spec: { backoffLimit: 0, template: { spec } },
  }
}

/** As PodSecurity `restricted` wants it. */
function podSpec(script: string, mounts: object[], volumes: object[]) {
  const container = {
    name: 'main',
    image: BUSYBOX_IMAGE,
    command: ['sh', '-c', script],
    resources: { requests: { cpu: '10m', memory: '16Mi' }, limits: { memory: '64Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }, ...mounts],
  }
  return {
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 1,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [container],
    volumes: [{ name: 'tmp', emptyDir: {} }, ...volumes],
  }
}

async function addressesOf(cluster: TestCluster): Promise<readonly string[]> {
  const state = await cluster.lab?.state()
  return (state?.record.nodes ?? []).map(({ address }) => address)
}

function get(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent: false, timeout: 5000 }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve(Buffer.concat(chunks).toString()))
    })
    asked.on('timeout', () => asked.destroy(new Error(`${url}: no answer`)))
    asked.on('error', reject)
    asked.end()
  })
}

function cgroupFolder(): string {
  return '/sys/fs/cgroup/memory'
}
