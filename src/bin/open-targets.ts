import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { Engine } from '../model/engine.ts'
import type { Identity } from '../model/identity.ts'
import type { ClusterInstances } from '../model/instance-secrets.ts'
import type { LogReader } from '../model/logs.ts'
import type { Manifests } from '../model/manifests.ts'
import type { Nodes } from '../model/nodes.ts'
import type { AppRef, TargetName } from '../model/names.ts'
import type { Secret } from '../model/secrets.ts'
import type { Store } from '../model/store.ts'
import type { Clusters, Targets } from '../model/targets.ts'
import type { DoorMaker } from '../reconcile/access-doors.ts'
import { AppManifests } from '../reconcile/app-manifests.ts'
import { activeRelease } from '../reconcile/app-planner.ts'
import { ConnectedClusters } from '../reconcile/connected-clusters.ts'
import { StoredTargets } from '../reconcile/stored-targets.ts'
import { TargetedEngine } from '../reconcile/targeted-engine.ts'
import { TargetNodes } from '../reconcile/target-nodes.ts'
import { targetedLogReader } from '../reconcile/targeted-log-reader.ts'
import type { ClusterConnection } from '../kubernetes/kubeconfig.ts'
import { once } from './once.ts'
import type { PodDoorOptions } from './pod-door.ts'

export interface TargetOptions {
  readonly store: Store
  readonly machine: { readonly engine: Engine; readonly logs: LogReader }
  readonly identity: Identity
  readonly clock: Clock
  readonly log: Log
  readonly randomId: () => string
  /** The installation's name on clusters where it has none yet; '' or absent = any. */
  readonly given?: string
  readonly defaultHost: (ref: AppRef) => string
  /** The cluster that this server itself runs in. */
  readonly inCluster?: () => Promise<ClusterConnection>
  /** The installation's key. */
  readonly serverKey: () => Promise<Secret>
  /** How pods get values and identities. */
  readonly podDoor: Omit<PodDoorOptions, 'owner' | 'lookup'>
}

/** Everywhere that apps run: this machine, and every cluster that was added. */
export interface Places {
  readonly engine: Engine
  readonly logs: LogReader
  readonly targets: Targets
  readonly manifests: Manifests
  readonly nodes: Nodes
  readonly doors: DoorMaker
  readonly instancesOf: (target: TargetName) => Promise<ClusterInstances>
  /** Where the app's serving release runs. */
  readonly targetOf: (ref: AppRef) => Promise<TargetName | null | undefined>
}

const OWNER = 'owner'

/** Nothing of a cluster's client is loaded before the first target is used. */
export function openTargets(options: TargetOptions): Places {
  const { store, machine, identity, clock, log } = options
  const clusters = lazyClusters(options)
  const connected = new ConnectedClusters({ store, clusters, log })
  const serves = async (ref: AppRef): Promise<TargetName | null | undefined> =>
    (await activeRelease(ref, store))?.spec.target
  const engine = new TargetedEngine({
    machine: machine.engine,
    clusters: connected,
    targetOf: serves,
    log,
  })
  const logs = targetedLogReader({
    machine: machine.logs,
    clusters: connected,
    targetOf: async (ref) => engine.placeOf(ref) ?? (await serves(ref)),
  })
  const targets = new StoredTargets({ store, clusters, connected, identity, clock })
  const manifests = new AppManifests({ store, connected, clock })
  const nodes = new TargetNodes(connected)
  const doors: DoorMaker = (target) => clusters.door(target)
  const instancesOf = async (target: TargetName): Promise<ClusterInstances> =>
    (await connected.connected(target)).instances
  return { engine, logs, targets, manifests, nodes, doors, instancesOf, targetOf: serves }
}

function lazyClusters(options: TargetOptions): Clusters {
  const made = once(async () => {
    const { openClusters } = await import('./clusters.ts')
    const [owner, key] = await Promise.all([ownerOf(options), options.serverKey()])
    return openClusters({ ...options, owner, key })
  })
  return {
    describe: async (target) => (await made()).describe(target),
    connect: async (target) => (await made()).connect(target),
    check: async (target) => (await made()).check(target),
    door: async (target) => (await made()).door(target),
  }
}

/** The name under which this installation owns objects on clusters: made once, kept with the apps. */
export async function ownerOf({
  store,
  randomId,
  given = '',
}: Pick<TargetOptions, 'store' | 'randomId' | 'given'>): Promise<string> {
  const known = await store.getSetting(OWNER)
  if (known !== null) return known
  const owner = given === '' ? `fairway-${randomId()}` : given
  await store.setSetting(OWNER, owner)
  return owner
}
