import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { KubernetesNodes } from '../../src/kubernetes/cluster-nodes.ts'
import { namespaceOf } from '../../src/kubernetes/labels.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { minimalEnv, start } from '../../src/lib/process.ts'
import type { DesiredApp } from '../../src/model/engine.ts'
import { parseAppName, parseEnvironmentName } from '../../src/model/names.ts'
import type { DrainEvent, NodeView } from '../../src/model/nodes.ts'
import { BUSYBOX_IMAGE, writeBusyboxImage } from '../cluster/busybox-image.ts'
import { lacksCluster, openTestCluster, type TestCluster } from '../cluster/test-cluster.ts'
import { waitUntil } from '../cluster/wait.ts'
import { desiredCopies } from '../desired-copies.ts'
import { MetadataServer } from '../fakes/metadata-server.ts'
import {
  engineOn,
  freshOwner,
  getService,
  importBehaviour,
  type EngineBed,
} from '../kubernetes-bed.ts'

const AGENT = join(import.meta.dirname, '../../src/bin/node-agent.ts')
const LIMIT_MS = 120_000
const owner = freshOwner()
const ref = { app: parseAppName(owner), environment: parseEnvironmentName('production') }
const namespace = namespaceOf(ref)

/** Nodes of a real cluster are emptied under requests. Needs a cluster of its own: other suites' pods would be moved too. */
describe('drain and notices', { skip: await lacksCluster(), timeout: 900_000 }, () => {
  let cluster: TestCluster
  let bed: EngineBed
  let nodes: KubernetesNodes
  const metadata = new MetadataServer()

  before(async () => {
    cluster = await openTestCluster({ nodes: 2 })
    await importBehaviour(cluster)
    await importBusybox(cluster)
    await metadata.listen()
    bed = await engineOn(cluster, { owner })
    const { client } = bed
    nodes = new KubernetesNodes({
      client,
      owner,
      clock: systemClock,
      random: Math.random,
      log: silentLog,
    })
    await bed.engine.open()
    nodes.open()
    await bed.engine.apply(copies(3))
    await waitUntil('three copies are ready', LIMIT_MS, () => ready() === 3)
    await cluster.kubectl(['apply', '-f', '-'], openDoor())
  })
  afterEach(async () => {
    await cluster.tryKubectl(['delete', 'rs,pdb,pod', '-n', namespace, '-l', 'test=drain', '--now'])
    for (const node of await nodes.list()) {
      await cluster.tryKubectl(['annotate', 'node', node.name, 'fairway/notices-'])
      await nodes.uncordon(node.name)
    }
  })
  after(async () => {
    await nodes.close()
    await cluster.tryKubectl(['delete', 'namespace', namespace, '--wait=false'])
    await bed.engine.close()
    await metadata.close()
    await cluster.close()
  })

  const ready = (): number => bed.engine.actual(ref).workloads[0]?.ready ?? 0
  const view = async (name: string): Promise<NodeView> => {
    const found = (await nodes.list()).find((node) => node.name === name)
    assert.ok(found)
    return found
  }
  const fullest = async (): Promise<string> => {
    const all = [...(await nodes.list())].sort((a, b) => copiesOf(b) - copiesOf(a))
    return all[0]?.name ?? ''
  }
  /** Asks the app all the time while the task runs. */
  const serving = async (task: () => Promise<void>): Promise<void> => {
    const failed: string[] = []
    const asked = new AbortController()
    let count = 0
    const asking = (async () => {
      while (!asked.signal.aborted) {
        const { status, body } = await getService(bed.client, namespace, 'web', '/')
        count += 1
        if (status !== 200) failed.push(`${String(status)} ${body}`)
      }
    })()
    try {
      await task()
    } finally {
      asked.abort()
      await asking
    }
    assert.deepEqual(failed, [])
    assert.ok(count > 10, `only ${String(count)} requests`)
  }

  test('a drained node is empty of copies, and no request fails', async () => {
    const node = await fullest()
    const events: DrainEvent[] = []
    await serving(async () => {
      const options = { timeoutMs: LIMIT_MS, localData: true }
      for await (const event of nodes.drain(node, options, new AbortController().signal))
        events.push(event)
    })
    const last = events.at(-1)
    assert.equal(last?.type === 'end' && last.drained, true, JSON.stringify(events, null, 1))
    const { schedulable, copies } = await view(node)
    assert.equal(schedulable, false)
    assert.deepEqual(copies, [])
    assert.ok(events.some((event) => event.type === 'pod' && event.state === 'gone'))
    await nodes.uncordon(node)
    assert.equal((await view(node)).schedulable, true)
  })

  test('what may not go is told with its budget or its reason, and is still there', async () => {
    const node = await fullest()
    await cluster.kubectl(['apply', '-f', '-'], heldPod(node))
    await waitUntil('both pods run', LIMIT_MS, async () => (await running()).length === 2)
    const counted = [
      'get',
      'pdb',
      'never',
      '-n',
      namespace,
      '-o',
      'jsonpath={.status.expectedPods}',
    ]
    await waitUntil('the budget is counted', LIMIT_MS, async () => {
      return (await cluster.kubectl(counted)) === '1'
    })
    const before = await running()
    const left = new Map<string, string>()
    const options = { timeoutMs: 4_000, localData: false }
    for await (const event of nodes.drain(node, options, new AbortController().signal))
      if (event.type === 'end') for (const { pod, text } of event.left) left.set(pod, text)
    const [alone = '', held = ''] = before.map((name) => left.get(`${namespace}/${name}`))
    assert.match(alone, /nothing would start it again/)
    assert.match(held, /the budget never lets none of its 1 pods go, ever/)
    assert.deepEqual(await running(), before)
  })

  test('a recommendation cordons, a termination drains in time, and a withdrawn one opens', async () => {
    const node = await fullest()
    const words = ['--node', node, '--metadata-url', metadata.url]
    const agent = await start(
      process.execPath,
      [AGENT, ...words, '--kubeconfig', cluster.kubeconfig],
      { env: minimalEnv(), stdio: 'ignore' },
    )
    try {
      await serving(async () => {
        const copies = copiesOf(await view(node))
        metadata.metadata.rebalance = { noticeTime: seconds(0) }
        const isCordoned = async (): Promise<boolean> => !(await view(node)).schedulable
        await waitUntil('the node is cordoned', LIMIT_MS, isCordoned)
        assert.equal(copiesOf(await view(node)), copies)
        metadata.forgetToken()
        metadata.metadata.spot = { action: 'terminate', time: seconds(120) }
        const isEmpty = async (): Promise<boolean> => copiesOf(await view(node)) === 0
        await waitUntil('all copies are elsewhere', 110_000, isEmpty)
      })
      assert.deepEqual(
        (await view(node)).notices.map(({ kind }) => kind),
        ['terminate', 'rebalance'],
      )
      delete metadata.metadata.spot
      delete metadata.metadata.rebalance
      const isOpen = async (): Promise<boolean> => (await view(node)).schedulable
      await waitUntil('the node is open again', LIMIT_MS, isOpen)
    } finally {
      agent.kill('SIGTERM')
      if (agent.exitCode === null) await once(agent, 'exit')
    }
    assert.equal(agent.exitCode, 0)
  })

  /** `alone`, then the one of `held`. */
  async function running(): Promise<readonly string[]> {
    const words = ['get', 'pod', '-n', namespace, '-l', 'test=drain', '-o', 'name']
    const found = await cluster.kubectl([...words, '--field-selector', 'status.phase=Running'])
    return found
      .split('\n')
      .filter((name) => name !== '')
      .map((name) => name.replace('pod/', ''))
  }
})

async function importBusybox({ lab }: TestCluster): Promise<void> {
  if (lab === null) return
  const folder = await mkdtemp(join(tmpdir(), 'fairway-drain-'))
  try {
    await writeBusyboxImage(join(folder, 'busybox.tar'))
    await lab.importImage(join(folder, 'busybox.tar'))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Time for every node to learn that a copy is leaving, also where much else goes on. */
function copies(replicas: number): DesiredApp {
  const desired = desiredCopies(ref, 1, { replicas })
  const shutdown = { signal: 'SIGTERM', drainMs: 15_000, stopMs: 2_000 } as const
  return {
    ...desired,
    workloads: desired.workloads.map(({ spec, tracks, ...workload }) => ({
      ...workload,
      spec: { ...spec, shutdown },
      tracks: tracks.map((track) => ({ ...track, spec: { ...track.spec, shutdown } })),
    })),
  }
}

function copiesOf({ copies }: NodeView): number {
  return copies.reduce((sum, { count }) => sum + count, 0)
}

function seconds(fromNow: number): string {
  return new Date(Date.now() + fromNow * 1000).toISOString().replace(/\.\d+Z$/, 'Z')
}

/** This host reaches copies by way of another node, whose address the app's own policy knows nothing of. */
function openDoor(): string {
  return JSON.stringify({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'open-door', namespace },
    spec: { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] },
  })
}

/** One pod that nothing would start again, and one whose budget never lets it go. */
function heldPod(node: string): string {
  const spec = {
    nodeName: node,
    terminationGracePeriodSeconds: 0,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        name: 'main',
        image: BUSYBOX_IMAGE,
        imagePullPolicy: 'IfNotPresent',
        command: ['sleep', '3600'],
        resources: {
          requests: { cpu: '10m', memory: '8Mi' },
          limits: { cpu: '100m', memory: '16Mi' },
        },
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
  }
  const labels = { test: 'drain' }
  const selector = { matchLabels: { held: 'yes' } }
  const template = { metadata: { labels: { ...labels, held: 'yes' } }, spec }
  const named = (name: string) => ({ metadata: { name, namespace, labels } })
  const items = [
    { apiVersion: 'v1', kind: 'Pod', ...named('alone'), spec },
    {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      ...named('held'),
      spec: { replicas: 1, selector, template },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      ...named('never'),
      spec: { maxUnavailable: 0, selector },
    },
  ]
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
}
