import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { killServer } from '../test/e2e/kill-server.ts'
import { lacksCluster } from '../test/cluster/test-cluster.ts'
import {
  lacksLab,
  startClusterPlatform,
  type ClusterPlatform,
} from '../test/e2e/cluster-platform.ts'
import { ClusterApp } from './cluster-app.ts'
import { JobHistory } from './cluster-history.ts'
import { median, row, type Bench, type BenchOptions, type BenchResult } from './result.ts'
import { seeded } from './seeded.ts'
import { askService } from './service-load.ts'
import { skipped } from './skipped.ts'

const NAME = 'k8s-restart'
const KILLS = Number(process.env['FAIRWAY_BENCH_KILLS'] ?? 20)
const APPS = 4
const COPIES = 2
const SEED = 20_260_101
/** From the server's answering again to the next kill: the rollouts of all apps are somewhere in between. */
const LEAST_MS = 300
const MOST_MS = 9_000
const ROLLOUT_MS = 240_000

async function run(options: BenchOptions): Promise<BenchResult> {
  const lacking = lacksLab() || (await lacksCluster())
  if (lacking !== false) return skipped(NAME, lacking)
  const bed = await startClusterPlatform({ subnet: '10.235.3.0/24' })
  const history = await JobHistory.begin(bed.cluster)
  const apps: ClusterApp[] = []
  try {
    for (let index = 1; index <= APPS; index++) {
      const app = await ClusterApp.create(bed, `again${String(index)}`, COPIES)
      await app.releaseCommand(COPIES, [
        'node',
        '-e',
        'setTimeout(() => console.log("migrated"), 500)',
      ])
      apps.push(app)
    }
    await Promise.all(apps.map((app) => app.deploy()))
    return await measure(bed, apps, history, options)
  } finally {
    await history.end()
    await Promise.all(apps.map((app) => app.remove()))
    await bed.destroy()
  }
}

async function measure(
  bed: ClusterPlatform,
  apps: readonly ClusterApp[],
  history: JobHistory,
  { say }: BenchOptions,
): Promise<BenchResult> {
  const killing = new AbortController()
  const rolling = apps.map((app) => rollOnAndOn(bed, app, killing.signal))
  const seconds: number[] = []
  const random = seeded(SEED)
  try {
    for (let kill = 1; kill <= KILLS; kill++) {
      await sleep(LEAST_MS + random() * (MOST_MS - LEAST_MS))
      await killServer(bed.platform)
      const start = performance.now()
      await bed.platform.must(['up'])
      seconds.push((performance.now() - start) / 1000)
      if (kill % 5 === 0) say(`killed ${String(kill)} times`)
    }
  } finally {
    killing.abort()
  }
  const versions = await Promise.all(rolling)
  const seen: Findings[] = []
  for (const [index, app] of apps.entries())
    seen.push(await inspect(bed, app, versions[index] ?? 0))
  const twice = [...history.runs].filter(([, pods]) => pods.size !== 1).map(([job]) => job)
  for (const app of apps) await bed.platform.must(['destroy', app.name, '--yes'])
  const left = await bed.cluster.kubectl(['get', 'namespaces', '-l', OURS, '-o', 'name'])
  const wrong = seen.flatMap((findings) => findings.wrong)
  const orphans = [...seen.flatMap(({ orphans }) => orphans), ...left.split('\n').filter(Boolean)]
  const applied = [...seen.flatMap(({ twice }) => twice), ...twice]
  for (const line of [...wrong, ...applied, ...orphans]) say(line)
  const rollouts = seen.reduce((sum, findings) => sum + findings.rollouts, 0)
  return {
    name: NAME,
    results: [
      row('kills of the control plane', 'kills', KILLS),
      row('rollouts meanwhile', 'rollouts', rollouts),
      row('rollouts that ended wrong', 'rollouts', wrong.length),
      row('releases or release commands applied twice', 'objects', applied.length),
      row('objects left over', 'objects', orphans.length),
      row('server answers again, median', 's', median(seconds)),
    ],
    notes: [
      `${String(APPS)} apps with ${String(COPIES)} copies and a release command roll without a pause; SIGKILL at moments from seed ${String(SEED)}`,
      'applied twice: a release with more than one ReplicaSet revision, a release command with more than one pod',
    ],
  }
}

const OURS = 'app.kubernetes.io/managed-by=fairway'

/** Resolves with the number of versions that were deployed, once the last of them has ended. */
async function rollOnAndOn(
  bed: ClusterPlatform,
  app: ClusterApp,
  killing: AbortSignal,
): Promise<number> {
  let version = 0
  while (!killing.aborted) {
    version += 1
    await app.writeVersion(`v${String(version)}`)
    await begun(bed, app, version + 1)
    await untilEnded(bed, app)
  }
  return version
}

/** The command dies with the server. The deploy was taken or was not: in the end there is one rollout of it. */
async function begun(bed: ClusterPlatform, app: ClusterApp, wanted: number): Promise<void> {
  const deadline = Date.now() + ROLLOUT_MS
  while (Date.now() < deadline) {
    await bed.platform.fairway(['deploy', app.folder])
    const latest = await newest(bed, app)
    if (latest !== null && latest >= wanted) return
    await sleep(200)
  }
  throw new Error(`no rollout of ${app.name} could be begun`)
}

/** Newest release, whatever came of it; null while the server is away. */
async function newest({ platform }: ClusterPlatform, app: ClusterApp): Promise<number | null> {
  const { code, stdout } = await platform.fairway(['releases', '--app', app.name, '--json'])
  if (code !== 0) return null
  return releases.parse(JSON.parse(stdout)).releases[0]?.number ?? null
}

async function untilEnded({ platform }: ClusterPlatform, app: ClusterApp): Promise<void> {
  const deadline = Date.now() + ROLLOUT_MS
  while (Date.now() < deadline) {
    const { code, stdout } = await platform.fairway(['releases', '--app', app.name, '--json'])
    const newest = code === 0 ? releases.parse(JSON.parse(stdout)).releases[0] : undefined
    if (newest !== undefined && newest.status !== 'pending') return
    await sleep(300)
  }
  throw new Error(`a rollout of ${app.name} did not end`)
}

interface Findings {
  readonly rollouts: number
  readonly wrong: readonly string[]
  readonly twice: readonly string[]
  readonly orphans: readonly string[]
}

/** What is in the cluster beside what should be. */
async function inspect(bed: ClusterPlatform, app: ClusterApp, versions: number): Promise<Findings> {
  const { platform, cluster } = bed
  const { namespace, name } = app
  const get = (...what: readonly string[]): Promise<string> =>
    cluster.kubectl(['get', ...what, '-n', namespace])
  await cluster.kubectl(['rollout', 'status', 'deployment/web-a', '-n', namespace])
  const text = await platform.must(['releases', '--app', name, '--json', '-n', '100'])
  const known = releases.parse(JSON.parse(text)).releases
  const failed = known.filter(({ status }) => status === 'failed' || status === 'pending')
  const answer = await askService(await app.service())
  const expected = `v${String(versions)}`
  const revision = await get('deployment', 'web-a', '-o', REVISION)
  const deployments = (await get('deployments', '-o', 'name')).trim().split('\n')
  const secrets = (await get('secrets', '-l', OURS, '-o', 'name')).trim().split('\n')
  return {
    rollouts: known.length,
    wrong: [
      ...failed.map(({ number, status }) => `${name}: release ${String(number)} is ${status}`),
      ...(answer === expected ? [] : [`${name}: answers ${answer} instead of ${expected}`]),
    ],
    twice:
      Number(revision) === known.length
        ? []
        : [`${name}: revision ${revision} of ${String(known.length)} releases`],
    orphans: [
      ...deployments.filter((one) => one !== 'deployment.apps/web-a'),
      ...secrets.filter((one) => !['', 'secret/fairway-pull'].includes(one)),
    ].map((one) => `${namespace}: ${one}`),
  }
}

const REVISION = 'jsonpath={.metadata.annotations.deployment\\.kubernetes\\.io/revision}'
const releases = z.object({
  releases: z.array(z.object({ number: z.number(), status: z.string() })),
})

export const bench: Bench = {
  name: NAME,
  summary:
    'rollouts on a real cluster while the control plane is killed at 20 random moments (FAIRWAY_BENCH_KILLS)',
  needs:
    'what the cluster lab needs (docs/cluster.md): root, Go or its builds, containerd, runc, etcd',
  run,
}
