import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { BUSYBOX_IMAGE, writeBusyboxImage } from '../../test/cluster/busybox-image.ts'
import { lacksCluster, openTestCluster, type TestCluster } from '../../test/cluster/test-cluster.ts'
import { waitFor } from '../../test/cluster/wait.ts'
import { appOf, trackOf, workloadOf } from '../../test/fakes/cluster-plan.ts'
import { engineOn, freshOwner, type EngineBed } from '../../test/kubernetes-bed.ts'
import type { ProcessSpec } from '../model/app-spec.ts'
import type { DesiredApp } from '../model/engine.ts'
import { parseAppName, parseProcessName } from '../model/names.ts'
import { at, numberAt } from './json-value.ts'
import { KINDS } from './kinds.ts'
import { namespaceOf } from './labels.ts'

const owner = freshOwner()
const ref = { ...appOf().ref, app: parseAppName(owner) }
const workers = parseProcessName('workers')

function workersOf(replicas: number, change: Partial<ProcessSpec> = {}): DesiredApp {
  const process: Partial<ProcessSpec> = {
    name: workers,
    type: 'worker',
    command: ['sleep', '1000'],
    routes: [],
    resources: { cpu: 0.1, memory: 16 << 20, pids: 512 },
    shutdown: { signal: 'SIGTERM', drainMs: 0, stopMs: 1000 },
    ...change,
  }
  return { ref, target: null, workloads: [workloadOf(process, [trackOf({ replicas })])] }
}

suite('who owns the number of copies', { skip: await lacksCluster(), timeout: 600_000 }, () => {
  let cluster: TestCluster
  let bed: EngineBed
  let folder = ''
  const object = (kind: typeof KINDS.Deployment) =>
    bed.client.get({ kind, namespace: namespaceOf(ref), name: 'workers-a' })
  const replicas = async (): Promise<number | null> =>
    numberAt(await object(KINDS.Deployment), 'spec', 'replicas')

  before(async () => {
    cluster = await openTestCluster()
    folder = await mkdtemp(join(tmpdir(), 'fairway-scaler-test-'))
    if (cluster.lab !== null) {
      await writeBusyboxImage(join(folder, 'busybox.tar'))
      await cluster.lab.importImage(join(folder, 'busybox.tar'))
    }
    bed = await engineOn(cluster, { owner, imageOf: () => BUSYBOX_IMAGE })
    await bed.engine.open()
  })

  after(async () => {
    await bed.engine.remove(ref)
    await bed.engine.close()
    await cluster.close()
    await rm(folder, { recursive: true, force: true })
  })

  const converged = (): Promise<true> =>
    waitFor('all copies', 60_000, () =>
      Promise.resolve(
        bed.engine.actual(ref).workloads.every(({ phase }) => phase === 'converged') || null,
      ),
    )

  test('a process that gets a scaler keeps its copies, and gives the number back without one', async () => {
    await bed.engine.apply(workersOf(3))
    await converged()
    assert.equal(await replicas(), 3)
    const scaled = { autoscale: { cpuPercent: 70, memoryPercent: null }, scale: { min: 1, max: 4 } }
    const before = await object(KINDS.Deployment)
    await bed.engine.apply(workersOf(1, scaled))
    await waitFor('the scaler', 30_000, () => object(KINDS.HorizontalPodAutoscaler))
    assert.equal(await replicas(), 3, 'no copy left when the plan stopped naming the number')
    const pods = (live: unknown): unknown => at(live, 'spec', 'template')
    assert.deepEqual(pods(await object(KINDS.Deployment)), pods(before), 'no copy was replaced')
    await bed.engine.apply(workersOf(2))
    await waitFor('two copies', 30_000, async () => ((await replicas()) === 2 ? true : null))
    // It is taken away after the number is named, by the same pass.
    await waitFor('no scaler', 30_000, async () =>
      (await object(KINDS.HorizontalPodAutoscaler)) === null ? true : null,
    )
  })
})
