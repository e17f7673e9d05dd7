import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { fingerprints } from '../src/kubernetes/fingerprints.ts'
import { ClusterClient } from '../src/kubernetes/cluster-client.ts'
import { readFacts } from '../src/kubernetes/facts.ts'
import { textAt } from '../src/kubernetes/json-value.ts'
import { KINDS } from '../src/kubernetes/kinds.ts'
import { labelOf, LABELS, ownedBy } from '../src/kubernetes/labels.ts'
import type { KubeObject } from '../src/kubernetes/object.ts'
import { planApp } from '../src/kubernetes/plan-app.ts'
import { systemClock } from '../src/lib/clock.ts'
import { parseAppName, parseEnvironmentName, type AppRef } from '../src/model/names.ts'
import type { Release } from '../src/model/release.ts'
import { Secret } from '../src/model/secrets.ts'
import { desiredApp } from '../src/reconcile/desired.ts'
import { openSqliteStore } from '../src/store/sqlite-store.ts'
import { lacksCluster } from '../test/cluster/test-cluster.ts'
import {
  lacksLab,
  startClusterPlatform,
  targetArguments,
  type ClusterPlatform,
} from '../test/e2e/cluster-platform.ts'
import { connectionOf } from '../test/kubernetes-bed.ts'
import { ClusterApp } from './cluster-app.ts'
import { CountedUser } from './counted-user.ts'
import { writePlainly } from './plain-writer.ts'
import { row, type Bench, type BenchOptions, type BenchResult } from './result.ts'
import { skipped } from './skipped.ts'

const NAME = 'k8s-scale'
const APPS = Number(process.env['FAIRWAY_BENCH_APPS'] ?? 1_000)
const STEADY_SECONDS = Number(process.env['FAIRWAY_BENCH_STEADY_SECONDS'] ?? 300)
/** Longest wait for what each side has written to come to rest. */
const QUIET_MS = 120_000
const SAMPLE_MS = 5_000
const PLAIN = 'plain'
/** API server and etcd hold both sides' objects: two thousand namespaces at full size. */
const LAB_BYTES = 6 * 2 ** 30

async function run(options: BenchOptions): Promise<BenchResult> {
  const lacking = lacksLab() || (await lacksCluster())
  if (lacking !== false) return skipped(NAME, lacking)
  const bed = await startClusterPlatform({
    subnet: '10.235.4.0/24',
    addTarget: false,
    memory: LAB_BYTES,
  })
  const connection = await connectionOf(bed.cluster)
  const client = new ClusterClient({ connection, clock: systemClock, random: Math.random })
  try {
    return await measure({ bed, client }, options)
  } finally {
    await client.close()
    await bed.destroy()
  }
}

interface Sides {
  readonly bed: ClusterPlatform
  readonly client: ClusterClient
}

async function measure(sides: Sides, { say }: BenchOptions): Promise<BenchResult> {
  const { bed, client } = sides
  const { platform, cluster } = bed
  const user = await CountedUser.create(cluster, kubeconfigOf(bed))
  await platform.must(targetArguments(kubeconfigOf(bed)))
  const { release, owner } = await seed(sides)
  say(`${String(APPS)} apps in the store`)

  const plans = await plansOf(sides, release)
  const began = performance.now()
  // As the same user: an administrator by certificate is exempt from the API server's queues and asks no authorizer.
  const writes = await writePlainly(await connectionOf({ kubeconfig: kubeconfigOf(bed) }), plans)
  const theirs = (performance.now() - began) / 1000
  say(`plain client: ${String(writes)} writes in ${theirs.toFixed(1)} s`)
  await untilSeen(client, PLAIN, APPS)

  const before = await user.requests()
  const start = performance.now()
  const there = untilThere(client, owner, APPS)
  // Told by `await there` below, unless the server does not even start.
  there.catch(() => undefined)
  await platform.must(['up'])
  const answers = (performance.now() - start) / 1000
  await there
  const ours = (performance.now() - start) / 1000
  const cold = (await user.requests()) - before
  say(`ours: ${String(cold)} requests in ${ours.toFixed(1)} s`)
  await untilSeen(client, owner, APPS)
  await untilQuiet(user)

  const quiet = await steady(bed, user)
  say(`steady: ${String(quiet.requests)} requests in ${String(STEADY_SECONDS)} s`)
  return {
    name: NAME,
    results: [
      row(`${String(APPS)} apps, cold start of the server to all applied`, 's', ours, {
        theirs,
        against: 'plain client, the same writes',
      }),
      row('requests of the cold start', 'requests', cold),
      row('steady state, API requests', '1/s', quiet.requests / STEADY_SECONDS),
      row('steady state, memory of the server', 'MB', quiet.memory / 1e6),
      row('most memory of the server ever', 'MB', quiet.peak / 1e6),
    ],
    notes: [
      `${String(writes)} objects; the plain client sends them as the same user over ${String(32)} connections, the server answers ${answers.toFixed(1)} s after its start`,
      'no copies: what is measured is the control plane; requests are counted by the API server itself, watches included',
    ],
  }
}

function kubeconfigOf({ platform }: ClusterPlatform): string {
  return join(platform.env['HOME'] ?? '', 'counted.kubeconfig')
}

/** One app through the CLI, then as many like it in the store of the stopped server. */
async function seed({ bed }: Sides): Promise<{ release: Release; owner: string }> {
  const { platform } = bed
  const app = await ClusterApp.create(bed, 'app0', 1)
  try {
    await app.deploy()
  } finally {
    await app.remove()
  }
  await platform.must(['scale', 'web=0', '--app', 'app0'])
  await platform.must(['down', '--keep-router'])
  const path = join(platform.dataDir, 'fairway.db')
  const store = await openSqliteStore({ path, clock: systemClock })
  try {
    const release = await store.getRelease(refOf('app0'), 1)
    const owner = await store.getSetting('owner')
    if (release === null || owner === null) throw new Error('the first app is not in the store')
    for (let index = 1; index < APPS; index++) {
      const ref = refOf(`app${String(index)}`)
      await store.ensureApp(ref, Date.now())
      await store.setScale(ref, { web: 0 })
      const { number } = await store.addRelease({ ...release, ref })
      await store.setActive(ref, number)
    }
    return { release, owner }
  } finally {
    await store.close()
  }
}

function refOf(app: string): AppRef {
  return { app: parseAppName(app), environment: parseEnvironmentName('production') }
}

/** What the engine would write for as many other apps. */
async function plansOf(
  { client }: Sides,
  release: Release,
): Promise<readonly (readonly KubeObject[])[]> {
  const settings = {
    owner: PLAIN,
    facts: await readFacts(client),
    imageOf: (digest: string) => `127.0.0.1:5000/plain@${digest}`,
    pullSecret: { name: 'fairway-pull', dockerConfigJson: '{"auths":{}}' },
    slots: new Map(),
    defaultHost: ({ app }: AppRef) => `${app}.localhost`,
    fingerprint: fingerprints(Secret.of(PLAIN)),
  }
  return Array.from({ length: APPS }, (_, index) => {
    const ref = refOf(`plain${String(index)}`)
    return planApp(desiredApp({ ...release, ref }, { scale: { web: 0 } }), settings)
  })
}

/** Resolves once this many Deployments of an owner exist; they are the last that is written for an app. */
async function untilThere(client: ClusterClient, owner: string, count: number): Promise<void> {
  const options = { namespace: null, labels: ownedBy(owner), metadataOnly: true }
  const list = await client.list(KINDS.Deployment, options)
  const namespaces = new Set(list.items.map((item) => textAt(item, 'metadata', 'namespace')))
  const { resourceVersion } = list
  const watch = { ...options, resourceVersion, seconds: 900 }
  const enough = new AbortController()
  if (namespaces.size >= count) return
  for await (const { object } of client.watch(KINDS.Deployment, watch, enough.signal)) {
    namespaces.add(textAt(object, 'metadata', 'namespace'))
    if (namespaces.size >= count) return
  }
  throw new Error(`${String(namespaces.size)} of ${String(count)} Deployments after 15 minutes`)
}

/** The cluster's own controllers have taken note of all Deployments. */
async function untilSeen(client: ClusterClient, owner: string, count: number): Promise<void> {
  const deadline = Date.now() + QUIET_MS
  while (Date.now() < deadline) {
    const options = { namespace: null, labels: ownedBy(owner), metadataOnly: true }
    const { items } = await client.list(KINDS.ReplicaSet, options)
    if (items.filter((item) => labelOf(item, LABELS.owner) === owner).length >= count) return
    await sleep(1_000)
  }
}

async function untilQuiet(user: CountedUser): Promise<void> {
  const deadline = Date.now() + QUIET_MS
  for (let before = await user.requests(); Date.now() < deadline;) {
    await sleep(SAMPLE_MS)
    const now = await user.requests()
    if (now - before < 3) return
    before = now
  }
}

interface Steady {
  readonly requests: number
  /** Bytes: the most that was seen, and the most since the start of the process. */
  readonly memory: number
  readonly peak: number
}

async function steady(bed: ClusterPlatform, user: CountedUser): Promise<Steady> {
  const before = await user.requests()
  const pid = await serverPid(bed)
  let memory = 0
  const end = performance.now() + STEADY_SECONDS * 1000
  while (performance.now() < end) {
    await sleep(Math.min(SAMPLE_MS, end - performance.now()))
    memory = Math.max(memory, await memoryOf(pid, 'VmRSS'))
  }
  const requests = (await user.requests()) - before
  return { requests, memory, peak: await memoryOf(pid, 'VmHWM') }
}

async function serverPid({ platform }: ClusterPlatform): Promise<number> {
  const text = await readFile(join(platform.dataDir, 'programs/server.pid'), 'utf8')
  return z.object({ pid: z.number() }).parse(JSON.parse(text)).pid
}

async function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8')
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) * 1024
}

export const bench: Bench = {
  name: NAME,
  summary:
    '1,000 apps on a real API server: cold start beside a plain client, then five quiet minutes (FAIRWAY_BENCH_APPS, FAIRWAY_BENCH_STEADY_SECONDS)',
  needs:
    'what the cluster lab needs (docs/cluster.md): root, Go or its builds, containerd, runc, etcd',
  run,
}
