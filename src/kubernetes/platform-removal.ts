import type { PlatformRemains } from '../model/installer.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey } from '../model/names.ts'
import type { ClusterClient, ObjectName } from './cluster-client.ts'
import { textAt, type Json } from './json-value.ts'
import { KINDS, type Kind } from './kinds.ts'
import { labelOf, LABELS, refOf } from './labels.ts'
import { buildNamespace, INSTALLER_LABEL } from './plan-platform.ts'
import { KEYS } from './plan-platform-settings.ts'
import { POSTGRES } from './plan-platform-postgres.ts'
import { REGISTRY } from './plan-platform-registry.ts'

export interface RemovalOptions {
  readonly client: Pick<ClusterClient, 'list' | 'delete' | 'get'>
  /** As in `PlatformPlan`. */
  readonly installer: string
  readonly namespace: string
  /** Disks too, with everything on them. */
  readonly data: boolean
  readonly dryRun: boolean
}

/** What serves first, what gives rights last. */
const IN_NAMESPACE: readonly Kind[] = [
  KINDS.Deployment,
  KINDS.StatefulSet,
  KINDS.DaemonSet,
  KINDS.Service,
  KINDS.PodDisruptionBudget,
  KINDS.NetworkPolicy,
  KINDS.RoleBinding,
  KINDS.Role,
  KINDS.ServiceAccount,
  KINDS.Secret,
]
const OF_THE_CLUSTER: readonly Kind[] = [
  KINDS.ValidatingAdmissionPolicyBinding,
  KINDS.ValidatingAdmissionPolicy,
  KINDS.ClusterRoleBinding,
  KINDS.ClusterRole,
]
/** Without their passwords the disks are of no use, nor a database without the key of its secrets. */
const KEPT_SECRETS: ReadonlySet<string> = new Set([POSTGRES, REGISTRY, KEYS])

/**
 * Removes what `fairway install` put on a cluster, and nothing else: apps go on running. Doing it again goes on where it was.
 * @throws FairwayError NOT_FOUND where there is no such control plane, CLUSTER_CONFLICT where another installation made it
 */
export async function removePlatform(options: RemovalOptions): Promise<PlatformRemains> {
  const { client, namespace, installer, data, dryRun } = options
  const live = await client.get({ kind: KINDS.Namespace, namespace: null, name: namespace })
  if (live === null)
    throw new FairwayError('NOT_FOUND', `there is no control plane in namespace ${namespace}`)
  const whose = labelOf(live, INSTALLER_LABEL)
  if (whose !== installer)
    throw new FairwayError(
      'CLUSTER_CONFLICT',
      `namespace ${namespace} was ${whose === '' ? 'not made by Fairway' : `installed by ${whose}`}; nothing was removed`,
    )
  const gone = [...(await ours(options)), ...(await namespaces(options))]
  if (!dryRun) for (const name of gone) await client.delete(name)
  return {
    removed: gone.map(({ kind, name }) => `${kind.kind} ${name}`),
    stays: [...(data ? [] : await disks(options)), ...(await apps(options))],
  }
}

// Private

async function ours({ client, installer, namespace, data }: RemovalOptions): Promise<ObjectName[]> {
  const labels = `${INSTALLER_LABEL}=${installer}`
  const found: ObjectName[] = []
  for (const kind of data ? [] : IN_NAMESPACE)
    for (const item of (await client.list(kind, { namespace, labels })).items) {
      const name = textAt(item, 'metadata', 'name')
      if (kind !== KINDS.Secret || !KEPT_SECRETS.has(name)) found.push({ kind, namespace, name })
    }
  for (const kind of OF_THE_CLUSTER)
    for (const item of (await client.list(kind, { namespace: null, labels })).items) {
      const name = textAt(item, 'metadata', 'name')
      // There may be another control plane of the same installation.
      if ([namespace, `${namespace}-node-agent`, `${namespace}-access`].includes(name))
        found.push({ kind, namespace: null, name })
    }
  return found
}

async function namespaces(options: RemovalOptions): Promise<readonly ObjectName[]> {
  const { client, installer, namespace, data } = options
  const found: ObjectName[] = []
  for (const name of [buildNamespace(namespace), ...(data ? [namespace] : [])]) {
    const one = { kind: KINDS.Namespace, namespace: null, name }
    const live = await client.get(one)
    if (live !== null && labelOf(live, INSTALLER_LABEL) === installer) found.push(one)
  }
  return found
}

async function disks({ client, namespace }: RemovalOptions): Promise<PlatformRemains['stays']> {
  const { items } = await client.list(KINDS.PersistentVolumeClaim, { namespace })
  if (items.length === 0) return []
  const names = items.map((item) => textAt(item, 'metadata', 'name')).join(', ')
  return [
    {
      what: `disks in namespace ${namespace}: ${names}`,
      why: 'records and images; a new install takes them over. --delete-data removes them.',
    },
  ]
}

/** Apps of every owner but this installation, whose own server goes on looking after them. */
async function apps({ client, installer }: RemovalOptions): Promise<PlatformRemains['stays']> {
  const options = { namespace: null, labels: LABELS.app, metadataOnly: true }
  const { items } = await client.list(KINDS.Namespace, options)
  return items
    .filter((item) => labelOf(item, LABELS.owner) !== installer)
    .map((item) => ({
      what: `app ${appOf(item)} in namespace ${textAt(item, 'metadata', 'name')}`,
      why: 'it goes on running, and nobody deploys or repairs it; a node that lacks its image cannot pull it from a registry that is gone.',
    }))
    .sort((a, b) => (a.what < b.what ? -1 : 1))
}

function appOf(namespace: Json): string {
  const ref = refOf(namespace)
  return ref === null ? '' : refKey(ref)
}
