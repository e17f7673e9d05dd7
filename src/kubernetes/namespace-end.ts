import type { ClusterClient } from './cluster-client.ts'
import { listIfAllowed } from './facts.ts'
import { textAt, type Json } from './json-value.ts'
import { KINDS, type Kind } from './kinds.ts'
import { labelOf, LABELS } from './labels.ts'
import type { OwnedObjects } from './owned-objects.ts'

export interface NamespaceEndOptions {
  readonly client: ClusterClient
  readonly objects: OwnedObjects
  readonly owner: string
}

/** What people make by hand; what the cluster puts into every namespace is not asked for. */
const PEOPLES_KINDS: readonly Kind[] = [
  KINDS.Pod,
  KINDS.Deployment,
  KINDS.StatefulSet,
  KINDS.DaemonSet,
  KINDS.Job,
  KINDS.CronJob,
  KINDS.Service,
  KINDS.Ingress,
  KINDS.Secret,
  KINDS.ConfigMap,
  KINDS.PersistentVolumeClaim,
]

/**
 * Deletes an app's namespace with all in it; where somebody else's objects are in it too, only what is ours, and the namespace stays without our labels.
 * Resolves with false while something of it is left: call it again when something changed. @throws FairwayError CLUSTER_…
 */
export async function removeNamespace(
  namespace: string,
  { client, objects, owner }: NamespaceEndOptions,
): Promise<boolean> {
  const name = { kind: KINDS.Namespace, namespace: null, name: namespace }
  const live = await client.get(name)
  if (live === null) return true
  if (textAt(live, 'metadata', 'deletionTimestamp') !== '') return false
  const isOurs = labelOf(live, LABELS.owner) === owner
  if (isOurs && !(await hasStrangers(client, namespace, owner))) {
    await client.delete(name, { uid: textAt(live, 'metadata', 'uid') })
    return false
  }
  if (await removeOwned(namespace, { client, objects, owner })) return false
  // Applying nothing gives up every field that we own, our labels included.
  if (isOurs)
    await client.apply(name, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  return true
}

/** True while there is something of ours. */
async function removeOwned(
  namespace: string,
  { client, objects }: NamespaceEndOptions,
): Promise<boolean> {
  const owned = objects.everything(namespace)
  for (const { kind, object } of owned)
    if (!object.deleting) await client.delete({ kind, ...object }, { uid: object.uid })
  return owned.length > 0 || objects.pods.in(namespace).length > 0
}

/** Whether people or tools put something of their own into the namespace. */
export async function hasStrangers(
  client: ClusterClient,
  namespace: string,
  owner: string,
): Promise<boolean> {
  for (const kind of PEOPLES_KINDS) {
    const labels = `${LABELS.owner}!=${owner}`
    const items = await listIfAllowed(client, kind, { namespace, labels, metadataOnly: true })
    if (items.some((object) => !isClusters(object))) return true
  }
  return false
}

/** Made by the cluster itself: the root certificates that every namespace has, what belongs to another object, what Helm or a mesh injects for all. */
function isClusters(object: Json): boolean {
  const owners = object['metadata']
  const name = textAt(object, 'metadata', 'name')
  if (name === 'kube-root-ca.crt' || name === 'istio-ca-root-cert') return true
  return JSON.stringify(owners).includes('"ownerReferences"')
}
