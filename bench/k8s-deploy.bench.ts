import { ClusterClient } from '../src/kubernetes/cluster-client.ts'
import { listAt, numberAt, recordAt, type Json } from '../src/kubernetes/json-value.ts'
import { KINDS } from '../src/kubernetes/kinds.ts'
import { workloadFacts } from '../src/kubernetes/workload-facts.ts'
import { systemClock } from '../src/lib/clock.ts'
import { lacksCluster } from '../test/cluster/test-cluster.ts'
import {
  lacksLab,
  startClusterPlatform,
  type ClusterPlatform,
} from '../test/e2e/cluster-platform.ts'
import { connectionOf } from '../test/kubernetes-bed.ts'
import { ClusterApp } from './cluster-app.ts'
import { median, row, type Bench, type BenchOptions, type BenchResult } from './result.ts'
import { askService } from './service-load.ts'
import { skipped } from './skipped.ts'

const NAME = 'k8s-deploy'
const PAIRS = 5
const COPIES = 2
/** Where kubectl's copies of our objects run; none of our labels is on them. */
const PLAIN = 'plain'
const WORKLOAD = 'web-a'
const PULL_SECRET = 'fairway-pull'
const VERSIONS = ['one', 'two'] as const

/** Milliseconds from the start of the command. */
interface Times {
  /** Until every copy is of the new version and counts as available, and no other is left. */
  readonly serves: number
  /** Until the command ended. */
  readonly ends: number
}

async function run(options: BenchOptions): Promise<BenchResult> {
  const lacking = lacksLab() || (await lacksCluster())
  if (lacking !== false) return skipped(NAME, lacking)
  const bed = await startClusterPlatform({ subnet: '10.235.1.0/24' })
  const connection = await connectionOf(bed.cluster)
  const client = new ClusterClient({ connection, clock: systemClock, random: Math.random })
  const app = await ClusterApp.create(bed, 'pair', COPIES)
  try {
    return await measure({ bed, client, app }, options)
  } finally {
    await client.close()
    await bed.cluster.tryKubectl(['delete', 'namespace', PLAIN, '--wait=false'])
    await app.remove()
    await bed.destroy()
  }
}

interface Sides {
  readonly bed: ClusterPlatform
  readonly client: ClusterClient
  readonly app: ClusterApp
}

/** Two versions in turns, both known to registry and nodes: what is measured is the rollout, not a build or a pull. */
async function measure(sides: Sides, { say }: BenchOptions): Promise<BenchResult> {
  const manifests = await prepare(sides)
  const ours: Times[] = []
  const theirs: Times[] = []
  for (let pair = 0; pair < PAIRS; pair++) {
    const version = VERSIONS[pair % 2] ?? 'one'
    await sides.app.writeVersion(version)
    const first = await timed(sides, sides.app.namespace, () => sides.app.deploy())
    await expectVersion(sides, sides.app.namespace, version)
    const second = await timed(sides, PLAIN, () => applied(sides, manifests[version]))
    await expectVersion(sides, PLAIN, version)
    say(`ours ${shown(first)}, kubectl ${shown(second)}`)
    ours.push(first)
    theirs.push(second)
  }
  const compare = (metric: string, of: keyof Times): BenchResult['results'][number] =>
    row(metric, 'ms', median(ours.map((times) => times[of])), {
      theirs: median(theirs.map((times) => times[of])),
      against: 'kubectl apply, kubectl rollout status',
    })
  return {
    name: NAME,
    results: [
      compare('command start to the new version serving alone, median', 'serves'),
      compare('command start to its end, median', 'ends'),
    ],
    notes: [
      `${String(PAIRS)} interleaved pairs, ${String(COPIES)} copies, the same Deployment on both sides; a copy counts after ${String(readySeconds(manifests.one))} s of being ready`,
      'images are in the registry and on the node; ours also hashes the folder, and its command ends when the old copies have drained',
    ],
  }
}

/** Deploys both versions on both sides. Resolves with kubectl's manifests. */
async function prepare(sides: Sides): Promise<Readonly<Record<(typeof VERSIONS)[number], Json>>> {
  const { bed, app } = sides
  const manifests = { one: {}, two: {} }
  await bed.cluster.kubectl(['create', 'namespace', PLAIN])
  for (const version of VERSIONS) {
    await app.writeVersion(version)
    await app.deploy()
    manifests[version] = await plainCopy(sides)
    await applied(sides, manifests[version])
  }
  return manifests
}

/** What runs, for another namespace and without anything of ours. */
async function plainCopy({ client, app }: Sides): Promise<Json> {
  const { namespace } = app
  const names = [
    { kind: KINDS.Secret, name: PULL_SECRET },
    { kind: KINDS.ServiceAccount, name: 'web' },
    { kind: KINDS.Service, name: 'web' },
    { kind: KINDS.Deployment, name: WORKLOAD },
  ]
  const items: Json[] = []
  for (const { kind, name } of names) {
    const object = await client.get({ kind, namespace, name })
    if (object === null) throw new Error(`${kind.kind} ${namespace}/${name} is not there`)
    const copy = withoutOwner(object)
    items.push({ ...copy, metadata: { name, namespace: PLAIN }, status: undefined })
  }
  return { apiVersion: 'v1', kind: 'List', items }
}

/** Addresses are the cluster's to give; with the owner's label our engine would take it for ours. */
function withoutOwner(object: Json): Json {
  const dropped = new Set(['clusterIP', 'clusterIPs', 'fairway/owner'])
  const text = JSON.stringify(object, (key, value: unknown): unknown =>
    dropped.has(key) ? undefined : value,
  )
  return recordAt({ copy: JSON.parse(text) as unknown }, 'copy')
}

async function applied({ bed }: Sides, manifest: Json): Promise<void> {
  await bed.cluster.kubectl(['apply', '-f', '-'], JSON.stringify(manifest))
  await bed.cluster.kubectl(['rollout', 'status', `deployment/${WORKLOAD}`, '-n', PLAIN])
}

/** Both sides are timed by the same watch on the Deployment. */
async function timed(
  { client }: Sides,
  namespace: string,
  work: () => Promise<unknown>,
): Promise<Times> {
  const kind = KINDS.Deployment
  const list = await client.list(kind, { namespace })
  const before = generationOf(list.items[0] ?? {})
  const watching = new AbortController()
  const { resourceVersion } = list
  const settled = (async () => {
    const options = { namespace, resourceVersion, seconds: 300 }
    for await (const { object } of client.watch(kind, options, watching.signal)) {
      const { settled, available, replicas } = workloadFacts(object)
      if (generationOf(object) > before && settled && available >= replicas)
        return performance.now()
    }
    throw new Error('the watch ended before the rollout')
  })()
  try {
    const start = performance.now()
    await work()
    const ended = performance.now()
    return { serves: (await settled) - start, ends: ended - start }
  } finally {
    watching.abort()
    await settled.catch(() => undefined)
  }
}

async function expectVersion({ bed }: Sides, namespace: string, version: string): Promise<void> {
  const answer = await askService(await bed.service(namespace))
  if (answer !== version) throw new Error(`${namespace} answers ${answer} instead of ${version}`)
}

function generationOf(object: Json): number {
  return numberAt(object, 'metadata', 'generation') ?? 0
}

function readySeconds(list: Json): number {
  const specs = listAt(list, 'items').map((item) => recordAt(item, 'spec'))
  return Math.max(0, ...specs.map((spec) => numberAt(spec, 'minReadySeconds') ?? 0))
}

function shown({ serves, ends }: Times): string {
  return `${(serves / 1000).toFixed(2)} s (command ${(ends / 1000).toFixed(2)} s)`
}

export const bench: Bench = {
  name: NAME,
  summary:
    'deploy to a real cluster: command start to the new version serving, beside kubectl with the same Deployment',
  needs:
    'what the cluster lab needs (docs/cluster.md): root, Go or its builds, containerd, runc, etcd',
  run,
}
