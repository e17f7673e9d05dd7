import type { ClusterClient, ListOptions } from './cluster-client.ts'
import type { ClusterFacts } from './cluster-facts.ts'
import { gatewayOf } from './gateway-facts.ts'
import { at, listAt, named, recordAt, textAt, type Json } from './json-value.ts'
import { KINDS, pathOf, type Kind } from './kinds.ts'
import { FairwayError } from '../model/errors.ts'

const EVERYWHERE: ListOptions = Object.freeze({ namespace: null })

/** Reads what plans depend on. What we may not read counts as not there. @throws FairwayError CLUSTER_UNREACHABLE, CLUSTER_UNAUTHORIZED */
export async function readFacts(
  client: ClusterClient,
  signal?: AbortSignal,
): Promise<ClusterFacts> {
  const version = await client.getPath('/version', 'get the version', { signal })
  const groups = await client.getPath('/apis', 'list the APIs', { signal })
  const has = (group: string): boolean => named(listAt(groups, 'groups'), 'name', group) !== null
  const list = (kind: Kind): Promise<readonly Json[]> =>
    listIfAllowed(client, kind, EVERYWHERE, signal)
  const [classes, storage, nodes, gateways] = await Promise.all([
    list(KINDS.IngressClass),
    list(KINDS.StorageClass),
    list(KINDS.Node),
    has('gateway.networking.k8s.io') ? list(KINDS.Gateway) : [],
  ])
  const ingressClass = defaultOf(classes, 'ingressclass.kubernetes.io/is-default-class')
  return {
    version: textAt(version, 'gitVersion').replace(/^v/, ''),
    gateway: gatewayOf(gateways),
    ingressClass,
    routerNamespaces: null,
    metrics: has('metrics.k8s.io') && (await answersMetrics(client, signal)),
    keda: has('keda.sh'),
    istio: has('networking.istio.io'),
    defaultStorageClass: defaultOf(storage, 'storageclass.kubernetes.io/is-default-class', false),
    nodes: nodes.filter(isSchedulable).length,
    clusterDomain: 'cluster.local',
    clusterRanges: await clusterRanges(client, nodes, signal),
  }
}

/** A kind that the cluster does not have, or that we may not list, has no objects. */
export async function listIfAllowed(
  client: ClusterClient,
  kind: Kind,
  options: ListOptions = EVERYWHERE,
  signal?: AbortSignal,
): Promise<readonly Json[]> {
  try {
    return (await client.list(kind, options, signal)).items
  } catch (error) {
    if (error instanceof FairwayError && ABSENT.has(error.code)) return []
    throw error
  }
}

export function isSchedulable(node: Json): boolean {
  const ready = named(listAt(node, 'status', 'conditions'), 'type', 'Ready')
  const taints = listAt(node, 'spec', 'taints')
  const closed = taints.some((taint) => textAt(taint, 'effect') !== 'PreferNoSchedule')
  return textAt(ready, 'status') === 'True' && at(node, 'spec', 'unschedulable') !== true && !closed
}

// Private

const ABSENT: ReadonlySet<string> = new Set(['CLUSTER_FORBIDDEN', 'CLUSTER_REJECTED'])

/** The class that is marked as default; with `orOnly`, the only one where none is marked. */
function defaultOf(classes: readonly Json[], annotation: string, orOnly = true): string | null {
  const marked = classes.find(
    (one) => textAt(recordAt(one, 'metadata', 'annotations'), annotation) === 'true',
  )
  const chosen = marked ?? (orOnly && classes.length === 1 ? classes[0] : undefined)
  return chosen === undefined ? null : textAt(chosen, 'metadata', 'name')
}

async function answersMetrics(client: ClusterClient, signal?: AbortSignal): Promise<boolean> {
  try {
    const path = pathOf(KINDS.PodMetrics, 'default')
    return (await client.getPath(path, 'list metrics', { signal })) !== null
  } catch (error) {
    // Registered, and nobody serves it: 503 of the API server for that group alone.
    if (error instanceof FairwayError && error.code !== 'CLUSTER_UNAUTHORIZED') return false
    throw error
  }
}

/** Addresses of pods as the nodes have them; those of Services from the cluster's own ServiceCIDR, where it says so (1.33 and newer). */
async function clusterRanges(
  client: ClusterClient,
  nodes: readonly Json[],
  signal?: AbortSignal,
): Promise<readonly string[] | null> {
  const pods = nodes.flatMap((node) => listAt(node, 'spec', 'podCIDRs').map(String))
  const services = await listIfAllowed(client, KINDS.ServiceCIDR, EVERYWHERE, signal)
  const cidrs = services.flatMap((one) => listAt(one, 'spec', 'cidrs').map(String))
  return pods.length === 0 || cidrs.length === 0 ? null : [...new Set([...pods, ...cidrs])].sort()
}
