import { FairwayError } from '../model/errors.ts'
import { refKey } from '../model/names.ts'
import type { ClusterClient } from './cluster-client.ts'
import {
  at,
  isRecord,
  listAt,
  numberAt,
  recordAt,
  textAt,
  timeAt,
  type Json,
} from './json-value.ts'
import { KINDS } from './kinds.ts'
import { labelOf, LABELS, refOf } from './labels.ts'
import type { Labels } from './object.ts'
import type { Budget, DrainPod } from './plan-drain.ts'

/** Reads what a drain depends on. */
export interface DrainFacts {
  readonly pods: readonly DrainPod[]
  readonly budgets: readonly Budget[]
}

/** @param disks claims that were looked up before, as `namespace/name`: true = their disk is a part of one node */
export async function readDrainFacts(
  client: ClusterClient,
  options: {
    readonly node: string
    readonly owner: string
    readonly disks: Map<string, boolean>
    readonly signal: AbortSignal
  },
): Promise<DrainFacts> {
  const { node, owner, disks, signal } = options
  const list = await client.list(
    KINDS.Pod,
    { namespace: null, fields: `spec.nodeName=${node}` },
    signal,
  )
  const pods: DrainPod[] = []
  for (const pod of list.items) {
    const localDisk = await localDiskOf(client, pod, disks)
    pods.push(drainPod(pod, owner, localDisk))
  }
  const budgets = await client.list(KINDS.PodDisruptionBudget, { namespace: null }, signal)
  return { pods, budgets: budgets.items.map(budgetOf) }
}

export function drainPod(pod: Json, owner: string, localDisk: string | null): DrainPod {
  const annotations = recordAt(pod, 'metadata', 'annotations')
  const phase = textAt(pod, 'status', 'phase')
  const kind = labelOf(pod, LABELS.kind)
  const ours = oursOf(pod, owner)
  return {
    namespace: textAt(pod, 'metadata', 'namespace'),
    name: textAt(pod, 'metadata', 'name'),
    uid: textAt(pod, 'metadata', 'uid'),
    labels: texts(recordAt(pod, 'metadata', 'labels')),
    ours,
    kind: kind === 'service' || kind === 'job' || kind === 'cron' ? kind : '',
    controller: controllerOf(pod),
    mirror: Object.hasOwn(annotations, 'kubernetes.io/config.mirror'),
    ended: phase === 'Succeeded' || phase === 'Failed',
    deleting: timeAt(pod, 'metadata', 'deletionTimestamp') !== null,
    scratch: volumesOf(pod)
      .filter((volume) => at(volume, 'emptyDir') !== undefined)
      .map((volume) => textAt(volume, 'name')),
    localDisk,
    graceSeconds: numberAt(pod, 'spec', 'terminationGracePeriodSeconds') ?? 30,
  }
}

export function budgetOf(budget: Json): Budget {
  return {
    namespace: textAt(budget, 'metadata', 'namespace'),
    name: textAt(budget, 'metadata', 'name'),
    selector: recordAt(budget, 'spec', 'selector'),
    allowed: numberAt(budget, 'status', 'disruptionsAllowed') ?? 0,
    expected: numberAt(budget, 'status', 'expectedPods') ?? 0,
    needed: numberAt(budget, 'status', 'desiredHealthy') ?? 0,
  }
}

// Private

/** `shop/production web`; null for what another, or nobody's, installation made. */
function oursOf(pod: Json, owner: string): string | null {
  if (labelOf(pod, LABELS.managedBy) !== 'fairway' || labelOf(pod, LABELS.owner) !== owner)
    return null
  const ref = refOf(pod)
  return ref === null ? null : `${refKey(ref)} ${labelOf(pod, LABELS.process)}`.trim()
}

function controllerOf(pod: Json): string {
  const owners = listAt(pod, 'metadata', 'ownerReferences')
  return textAt(
    owners.find((one) => at(one, 'controller') === true),
    'kind',
  )
}

function volumesOf(pod: Json): readonly unknown[] {
  return listAt(pod, 'spec', 'volumes')
}

async function localDiskOf(
  client: ClusterClient,
  pod: Json,
  disks: Map<string, boolean>,
): Promise<string | null> {
  const namespace = textAt(pod, 'metadata', 'namespace')
  for (const volume of volumesOf(pod)) {
    const claim = textAt(volume, 'persistentVolumeClaim', 'claimName')
    if (claim === '') continue
    const key = `${namespace}/${claim}`
    const isLocal = disks.get(key) ?? (await isLocalClaim(client, namespace, claim))
    disks.set(key, isLocal)
    if (isLocal) return claim
  }
  return null
}

/** What we may not read counts as movable: the cluster will say otherwise by not starting the pod. */
async function isLocalClaim(
  client: ClusterClient,
  namespace: string,
  name: string,
): Promise<boolean> {
  try {
    const claim = await client.get({ kind: KINDS.PersistentVolumeClaim, namespace, name })
    const volume = textAt(claim, 'spec', 'volumeName')
    if (volume === '') return false
    const path = `/api/v1/persistentvolumes/${encodeURIComponent(volume)}`
    return isLocalVolume(await client.getPath(path, `get persistentvolumes ${volume}`))
  } catch (error) {
    if (error instanceof FairwayError && error.code === 'CLUSTER_FORBIDDEN') return false
    throw error
  }
}

function isLocalVolume(volume: Json | null): boolean {
  const spec = recordAt(volume, 'spec')
  if (at(spec, 'local') !== undefined || at(spec, 'hostPath') !== undefined) return true
  return listAt(spec, 'nodeAffinity', 'required', 'nodeSelectorTerms').some((term) =>
    listAt(term, 'matchExpressions').some(
      (rule) => isRecord(rule) && textAt(rule, 'key') === 'kubernetes.io/hostname',
    ),
  )
}

function texts(labels: Json): Labels {
  return Object.fromEntries(
    Object.entries(labels).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  )
}
