import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { KINDS } from '../src/kubernetes/kinds.ts'
import { namespaceOf } from '../src/kubernetes/labels.ts'
import type { ActualApp } from '../src/model/engine.ts'
import { parseAppName, parseEnvironmentName } from '../src/model/names.ts'
import { lacksCluster, openTestCluster, type TestCluster } from './cluster/test-cluster.ts'
import { desiredCopies } from './desired-copies.ts'
import { engineOn, freshOwner, importBehaviour, type EngineBed } from './kubernetes-bed.ts'

const LIMIT_MS = 120_000

/** On a lab of its own: the API server goes away in the middle of things. */
describe(
  'kubernetes: API server restarts',
  { skip: await lacksCluster(), timeout: 1_200_000 },
  () => {
    const owner = freshOwner()
    const ref = { app: parseAppName('app'), environment: parseEnvironmentName('production') }
    let cluster: TestCluster
    let bed: EngineBed
    before(async () => {
      cluster = await openTestCluster({ alone: true, memory: 2 * 2 ** 30 })
      await importBehaviour(cluster)
      bed = await engineOn(cluster, { owner })
      await bed.engine.open()
    })
    after(async () => {
      await bed.engine.close()
      await cluster.close()
    })

    test('a rollout that a restart interrupts ends right, with nothing applied twice', async () => {
      await bed.engine.apply(desiredCopies(ref, 1))
      await until(bed, converged)
      await bed.engine.apply(desiredCopies(ref, 2))
      await cluster.lab?.component('kube-apiserver', 'restart')
      await until(bed, (actual) => converged(actual) && actual.workloads[0]?.old === 0)
      const namespace = namespaceOf(ref)
      const live = await bed.client.get({ kind: KINDS.Deployment, namespace, name: 'web-a' })
      assert.equal((live?.['metadata'] as { generation?: number }).generation, 2)
    })

    test('while it is away the target changes and the engine is killed; its successor makes it so', async () => {
      await cluster.lab?.component('kube-apiserver', 'stop')
      await bed.engine.apply(desiredCopies(ref, 3))
      await until(bed, ({ workloads }) =>
        /does not answer/.test(workloads[0]?.diagnosis.join() ?? ''),
      )
      await bed.engine.close()
      bed = await engineOn(cluster, { owner })
      await bed.engine.apply(desiredCopies(ref, 3))
      await bed.engine.open()
      await cluster.lab?.component('kube-apiserver', 'start')
      await until(bed, (actual) => converged(actual) && actual.workloads[0]?.release === 3)
      await bed.engine.remove(ref)
      assert.deepEqual(bed.engine.actual(ref).instances, [])
    })
  },
)

function converged({ workloads }: ActualApp): boolean {
  return workloads.length > 0 && workloads.every(({ phase }) => phase === 'converged')
}

async function until(
  { engine }: EngineBed,
  what: (actual: ActualApp) => boolean,
): Promise<ActualApp> {
  const ref = { app: parseAppName('app'), environment: parseEnvironmentName('production') }
  for await (const actual of engine.watch(ref, AbortSignal.timeout(LIMIT_MS)))
    if (what(actual)) return actual
  throw new Error(`not in time: ${JSON.stringify(engine.actual(ref), null, 1)}`)
}
