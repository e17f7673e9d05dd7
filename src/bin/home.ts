/** What a server is that runs in a cluster instead of on a machine of its own. Loaded only there. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { absentMachine } from '../reconcile/absent-machine.ts'
import { ClusterClient } from '../kubernetes/cluster-client.ts'
import { HomePod } from '../kubernetes/home-pod.ts'
import { inClusterConnection, type ClusterConnection } from '../kubernetes/kubeconfig.ts'
import type { AppReader } from '../model/app-reader.ts'
import { FairwayError } from '../model/errors.ts'
import type { Log } from '../lib/log.ts'
import type { Sandbox } from '../model/sandbox.ts'
import { ImageStore } from '../oci/image-store.ts'
import type { Clock } from '../model/clock.ts'
import type { Engine } from '../model/engine.ts'
import type { Store } from '../model/store.ts'
import type { HomeConfig } from './config.ts'
import type { DataFolder } from './data-folder.ts'
import { openHealth, type HealthServer } from './health-server.ts'
import { packageVersion } from './version.ts'

export interface Home {
  readonly open: (options: { readonly folder: DataFolder; readonly log: Log }) => Promise<HomeParts>
  /** From now on requests come here. */
  readonly lead: () => Promise<void>
  /** No new requests, please. A cluster that does not answer is no reason to stay. */
  readonly leave: () => Promise<void>
  readonly close: () => Promise<void>
  readonly health: HealthServer
  readonly pod: HomePod
  readonly inCluster: () => Promise<ClusterConnection>
  /** Reads environments that name no target as those of this cluster. */
  readonly reader: (reader: AppReader) => AppReader
  /** Makes this cluster a target of the store, as it was installed. */
  readonly register: (store: Store) => Promise<void>
}

/** What `chooseRunner` and an engine are on a machine. */
export interface HomeParts {
  readonly sandbox: Sandbox
  readonly images: ImageStore
  readonly machine: Engine
  readonly runner: 'none'
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

/** Begins to stand by: the pod is labelled before it can be ready, for a container that starts again still has the label of the one before. */
export async function openHome(config: HomeConfig, clock: Clock): Promise<Home> {
  const { namespace, pod: name, target, settings } = config
  const inCluster = (): Promise<ClusterConnection> =>
    inClusterConnection({
      ...config.apiServer,
      read: (file) => readFile(join(ACCOUNT, file), 'utf8'),
    })
  const client = new ClusterClient({
    connection: await inCluster(),
    clock,
    random: Math.random,
    userAgent: `fairway/${packageVersion()}`,
  })
  const pod = new HomePod({ client, namespace, pod: name })
  await pod.setRole('standby')
  const health = await openHealth(config.healthPort)
  return {
    health,
    pod,
    inCluster,
    open: async ({ folder, log }) => ({
      sandbox: absentSandbox,
      images: await ImageStore.open({ root: folder.images, log }),
      machine: absentMachine,
      runner: 'none',
    }),
    lead: async () => {
      await pod.setRole('active')
      health.set('active')
    },
    leave: () => pod.setRole('standby').catch(() => undefined),
    close: async () => {
      await health.close()
      await pod.close()
    },
    reader: (reader) => ({
      diff: (before, after) => reader.diff(before, after),
      read: async (ref, input) => {
        const reading = await reader.read(ref, input)
        return { ...reading, spec: { ...reading.spec, target: reading.spec.target ?? target } }
      },
    }),
    register: async (store) => {
      const createdAt = (await store.getTarget(target))?.createdAt ?? clock.now()
      await store.putTarget({ name: target, kubeconfig: '', context: null, settings, createdAt })
    },
  }
}

const absentSandbox: Sandbox = {
  flavour: 'image',
  ownerOffset: 0,
  run: () =>
    Promise.reject(
      new FairwayError(
        'RUNNER_UNAVAILABLE',
        'this server runs in a cluster and cannot install dependencies or run build commands yet',
        { hint: 'Deploy with node_modules in the source, or an image: fairway deploy --image.' },
      ),
    ),
}
