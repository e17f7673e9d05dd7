import { namespaceOf } from '../src/kubernetes/labels.ts'
import type { DesiredApp } from '../src/model/engine.ts'
import { parseAppName, parseEnvironmentName } from '../src/model/names.ts'
import { lacksCluster, openTestCluster, type TestCluster } from './cluster/test-cluster.ts'
import { engineSuite, type EngineWorld } from './engine-suite.ts'
import {
  BEHAVIOUR,
  engineOn,
  freshOwner,
  getService,
  importBehaviour,
  namespacesOf,
} from './kubernetes-bed.ts'

const owner = freshOwner()

engineSuite({
  name: 'kubernetes',
  skip: await lacksCluster(),
  pace: {
    limitMs: 180_000,
    crashMs: 8_000,
    memory: 96 << 20,
    trafficMs: 10_000,
    prefix: `${owner}-`,
  },
  open: async () => {
    const cluster = await openTestCluster()
    await importBehaviour(cluster)
    return openWorld(cluster, [])
  },
})

async function openWorld(
  cluster: TestCluster,
  desired: readonly DesiredApp[],
): Promise<EngineWorld> {
  const { client, engine } = await engineOn(cluster, { owner })
  for (const target of desired) await engine.apply(target)
  await engine.open()
  return {
    engine,
    image: BEHAVIOUR,
    get: (host, path) => getService(client, namespaceOfHost(host), 'web', path),
    restart: async (targets) => {
      await engine.close()
      return openWorld(cluster, targets)
    },
    remains: () => namespacesOf(client, owner),
    close: async () => {
      for (const namespace of await namespacesOf(client, owner))
        await cluster.tryKubectl(['delete', 'namespace', namespace, '--wait=false'])
      await engine.close()
      await cluster.close()
    },
  }
}

function namespaceOfHost(host: string): string {
  const app = parseAppName(host.replace(/\.localhost$/, ''))
  return namespaceOf({ app, environment: parseEnvironmentName('production') })
}
