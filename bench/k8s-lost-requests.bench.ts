import { lacksCluster } from '../test/cluster/test-cluster.ts'
import {
  lacksLab,
  startClusterPlatform,
  type ClusterPlatform,
} from '../test/e2e/cluster-platform.ts'
import { ClusterApp } from './cluster-app.ts'
import { median, quantile, row, type Bench, type BenchOptions, type BenchResult } from './result.ts'
import { startServiceLoad, type ServiceLoad, type ServiceReport } from './service-load.ts'
import { skipped } from './skipped.ts'

const NAME = 'k8s-lost-requests'
/** A deploy of three copies takes half a minute, most of it waiting: several apps side by side. */
const APPS = 5
const DEPLOYS_EACH = 4
const COPIES = 3
const DRAINS = 5
const RATE_EACH = 50

async function run(options: BenchOptions): Promise<BenchResult> {
  const lacking = lacksLab() || (await lacksCluster())
  if (lacking !== false) return skipped(NAME, lacking)
  const bed = await startClusterPlatform({ subnet: '10.235.0.0/24', nodes: 2 })
  const apps: ClusterApp[] = []
  try {
    for (let index = 1; index <= APPS; index++)
      apps.push(await ClusterApp.create(bed, `steady${String(index)}`, COPIES))
    await Promise.all(apps.map((app) => app.deploy()))
    options.say(`${String(APPS)} apps serve`)
    const deploys = await underLoad(apps, options, () => deployAll(apps, options))
    const drains = await underLoad(apps, options, () => drainNodes(bed, apps, options))
    return result(deploys, drains)
  } finally {
    await Promise.all(apps.map((app) => app.remove()))
    await bed.destroy()
  }
}

interface Measured {
  readonly reports: readonly ServiceReport[]
  readonly seconds: readonly number[]
}

async function underLoad(
  apps: readonly ClusterApp[],
  { say }: BenchOptions,
  work: () => Promise<readonly number[]>,
): Promise<Measured> {
  const loads: ServiceLoad[] = []
  for (const app of apps) loads.push(startServiceLoad(await app.service(), RATE_EACH))
  const stop = (): Promise<ServiceReport[]> => Promise.all(loads.map((load) => load.stop()))
  try {
    const seconds = await work()
    const reports = await stop()
    for (const line of reports.flatMap(({ failures }) => failures)) say(line)
    return { reports, seconds }
  } catch (error) {
    await stop()
    throw error
  }
}

async function deployAll(
  apps: readonly ClusterApp[],
  { say }: BenchOptions,
): Promise<readonly number[]> {
  const all = apps.map(async (app) => {
    const seconds: number[] = []
    for (let version = 1; version <= DEPLOYS_EACH; version++) {
      await app.writeVersion(String(version))
      seconds.push((await app.deploy()) / 1000)
      say(`${app.name}: version ${String(version)} after ${(seconds.at(-1) ?? 0).toFixed(1)} s`)
    }
    return seconds
  })
  return (await Promise.all(all)).flat()
}

/** In turns, as maintenance does it: every pod of one node goes, its budget permitting, then the other's. */
async function drainNodes(
  bed: ClusterPlatform,
  apps: readonly ClusterApp[],
  { say }: BenchOptions,
): Promise<readonly number[]> {
  const { cluster } = bed
  const listed = await cluster.kubectl(['get', 'nodes', '-o', 'name'])
  const nodes = listed.trim().split('\n')
  const seconds: number[] = []
  for (let index = 0; index < DRAINS; index++) {
    const node = nodes[index % nodes.length] ?? ''
    const start = performance.now()
    try {
      await cluster.kubectl(['drain', node, ...DRAIN])
      seconds.push((performance.now() - start) / 1000)
      say(`${node} drained after ${(seconds.at(-1) ?? 0).toFixed(1)} s`)
    } finally {
      await cluster.kubectl(['uncordon', node])
    }
    for (const app of apps)
      await cluster.kubectl([
        'rollout',
        'status',
        'deployment',
        '-n',
        app.namespace,
        '--timeout=90s',
      ])
  }
  return seconds
}

const DRAIN = ['--ignore-daemonsets', '--delete-emptydir-data', '--timeout=120s']

function result(deploys: Measured, drains: Measured): BenchResult {
  const rows = ({ reports }: Measured, when: string): BenchResult['results'] => {
    const sum = (field: 'sent' | 'failed'): number =>
      reports.reduce((total, report) => total + report[field], 0)
    const latencies = reports.flatMap((report) => report.latencies)
    return [
      row(`requests during ${when}`, 'requests', sum('sent')),
      row(`failed during ${when}`, 'requests', sum('failed')),
      row(`GET p99 during ${when}`, 'ms', quantile(latencies, 0.99)),
    ]
  }
  const heldUp = Math.round(
    Math.max(...[...deploys.reports, ...drains.reports].map((report) => report.heldUp)),
  )
  return {
    name: NAME,
    results: [
      ...rows(deploys, 'deploys'),
      row('deploy under load, median', 's', median(deploys.seconds)),
      ...rows(drains, 'node drains'),
      row('node drain, median', 's', median(drains.seconds)),
    ],
    notes: [
      `${String(deploys.seconds.length)} deploys of ${String(APPS)} apps with ${String(COPIES)} copies side by side, then ${String(drains.seconds.length)} times kubectl drain of one of two nodes`,
      `the sender itself was held up for at most ${String(heldUp)} ms`,
      `open loop at ${String(RATE_EACH)} requests/s for each app through its Service: new and kept connections, GET and POST, none tried again`,
    ],
  }
}

export const bench: Bench = {
  name: NAME,
  summary:
    '20 deploys of apps with 3 copies on a real cluster under load through Services, and 5 node drains',
  needs:
    'what the cluster lab needs (docs/cluster.md): root, Go or its builds, containerd, runc, etcd',
  run,
}
