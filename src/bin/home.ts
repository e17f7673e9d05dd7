/** What a server is that runs in a cluster instead of on a machine of its own. Loaded only there. */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readPackageSources } from '../bake/package-sources.ts'
import { absentMachine } from '../reconcile/absent-machine.ts'
import { ClusterClient } from '../kubernetes/cluster-client.ts'
import { HomePod } from '../kubernetes/home-pod.ts'
import { JobSandbox } from '../kubernetes/job-sandbox.ts'
import { inClusterConnection, type ClusterConnection } from '../kubernetes/kubeconfig.ts'
import { BUILD_PULL_SECRETS, buildNamespace } from '../kubernetes/plan-platform.ts'
import type { AppReader } from '../model/app-reader.ts'
import type { Log } from '../lib/log.ts'
import type { Sandbox } from '../model/sandbox.ts'
import { packFolders, unpackFolders } from '../oci/folder-archive.ts'
import { ImageStore } from '../oci/image-store.ts'
import { registryOf } from '../reconcile/target-registry.ts'
import type { Clock } from '../model/clock.ts'
import type { Engine } from '../model/engine.ts'
import type { Store } from '../model/store.ts'
import { ClusterRegistry } from './cluster-registry.ts'
import type { HomeConfig } from './config.ts'
import type { DataFolder } from './data-folder.ts'
import { environment } from './environment.ts'
import { openHealth, type HealthServer } from './health-server.ts'
import { once } from './once.ts'
import { packagePlaces } from './package-places.ts'
import type { ReleaseImagesOptions } from './release-images.ts'
import { stepImages } from './step-images.ts'
import { packageVersion } from './version.ts'

export interface Home {
  readonly open: (options: { readonly folder: DataFolder; readonly log: Log }) => Promise<HomeParts>
  /** From now on requests come here. */
  readonly lead: () => Promise<void>
  /** No new requests, please. A cluster that does not answer is no reason to stay. */
  readonly leave: () => Promise<void>
  readonly close: () => Promise<void>
  /** Where images of releases lie besides the server's own store. */
  readonly releases: NonNullable<ReleaseImagesOptions['home']>
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
    releases: { target, registry: ownRegistry(settings) },
    health,
    pod,
    inCluster,
    open: async ({ folder, log }) => {
      const images = await ImageStore.open({ root: folder.images, log })
      return {
        sandbox: stepSandbox({ config, client, clock, log, images }),
        images,
        machine: absentMachine,
        runner: 'none',
      }
    },
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

/** The one that was installed beside this server; a user's registry is called by its name alone. */
function ownRegistry(settings: HomeConfig['settings']): ClusterRegistry | null {
  const registry = registryOf(settings)
  if (registry?.endpoint === undefined) return null
  return new ClusterRegistry({ registry, endpoint: registry.endpoint, fetch })
}

interface SandboxParts {
  readonly config: HomeConfig
  readonly client: ClusterClient
  readonly clock: Clock
  readonly log: Log
  readonly images: ImageStore
}

/** Build steps run as Jobs beside this server, in the namespace that `fairway install` made for them. */
function stepSandbox({ config, client, clock, log, images }: SandboxParts): Sandbox {
  const sources = once(async () => (await readPackageSources(environment)).env)
  return new JobSandbox({
    client,
    clock,
    log,
    namespace: buildNamespace(config.namespace),
    courier: config.image,
    pullSecrets: BUILD_PULL_SECRETS,
    imageOf: stepImages(images, registryOf(config.settings)),
    sources: async () => packagePlaces({ client, env: await sources() }),
    archive: {
      pack: packFolders,
      unpack: (source, root, maxBytes) =>
        unpackFolders(source, root, { maxEntries: MAX_ENTRIES, maxBytes }),
    },
    randomId: () => randomBytes(6).toString('hex'),
  })
}

/** Of what a build step hands back: more files than any project has. */
const MAX_ENTRIES = 2_000_000
