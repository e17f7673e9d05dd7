import { isRecord, listAt, recordAt, textAt, type Json } from './json-value.ts'
import type { Labels } from './object.ts'

/** What a drain has to know of a pod. */
export interface DrainPod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly labels: Labels
  /** `shop/production web` where it is a copy of an app of this installation. */
  readonly ours: string | null
  /** `job` and `cron` are runs that end by themselves. */
  readonly kind: 'service' | 'job' | 'cron' | ''
  /** Kind of the object that would start it again; '' = nothing would. */
  readonly controller: string
  /** True for what the kubelet runs from its own files: the cluster cannot move it. */
  readonly mirror: boolean
  readonly ended: boolean
  readonly deleting: boolean
  /** Names of volumes that live and die with the pod on this node. */
  readonly scratch: readonly string[]
  /** Claim whose disk is a part of this node. */
  readonly localDisk: string | null
  readonly graceSeconds: number
}

/** A PodDisruptionBudget. */
export interface Budget {
  readonly namespace: string
  readonly name: string
  /** metav1.LabelSelector; one without anything selects all. */
  readonly selector: Json
  /** Pods that may go now. */
  readonly allowed: number
  /** Pods that it speaks of, and how many of them have to be healthy. */
  readonly expected: number
  readonly needed: number
}

export interface PlannedPod {
  readonly pod: DrainPod
  /** For people. */
  readonly text: string
}

export interface DrainPlan {
  readonly evict: readonly (PlannedPod & {
    /** Why it may not go now by what its budget says; the cluster decides. */
    readonly held: string | null
  })[]
  /** Goes by itself: it is going already, or is a run that comes to an end. */
  readonly wait: readonly PlannedPod[]
  /** Stays on every node that is drained. */
  readonly skip: readonly PlannedPod[]
  /** Would have to go, and is not touched. */
  readonly refuse: readonly PlannedPod[]
}

export interface DrainScope {
  /** Also what loses data kept on the node, and what nothing starts again elsewhere. */
  readonly localData: boolean
  /** The node goes away whatever is done: its scratch and disks are lost either way, so everything is told in time. */
  readonly vanishing: boolean
}

/** What becomes of every pod of a node that is drained. Pods of others are evicted as `kubectl drain` would, never deleted. */
export function planDrain(
  node: string,
  pods: readonly DrainPod[],
  budgets: readonly Budget[],
  scope: DrainScope,
): DrainPlan {
  const plan = { evict: [], wait: [], skip: [], refuse: [] } satisfies Record<string, never[]>
  const parts: Mutable = plan
  for (const pod of [...pods].sort(byName)) {
    if (pod.ended) continue
    const stays = stayReason(pod)
    const refusal = refuseReason(node, pod, budgets, scope)
    const wait = waitReason(pod)
    if (pod.deleting) parts.wait.push({ pod, text: 'is stopping' })
    else if (stays !== null) parts.skip.push({ pod, text: stays })
    else if (wait !== null) parts.wait.push({ pod, text: wait })
    else if (refusal !== null) parts.refuse.push({ pod, text: refusal })
    else parts.evict.push({ pod, text: moveText(pod, budgets), held: heldBy(pod, budgets) })
  }
  return parts
}

/** The budgets that speak of a pod. */
export function budgetsOf(
  { namespace, labels }: Pick<DrainPod, 'namespace' | 'labels'>,
  budgets: readonly Budget[],
): readonly Budget[] {
  return budgets.filter((one) => one.namespace === namespace && selects(one.selector, labels))
}

/** Whether a metav1.LabelSelector selects these labels. */
export function selects(selector: Json, labels: Labels): boolean {
  const exact = Object.entries(recordAt(selector, 'matchLabels'))
  const rules = listAt(selector, 'matchExpressions').filter(isRecord)
  return (
    exact.every(([key, value]) => labels[key] === value) &&
    rules.every((rule) => fulfils(rule, labels))
  )
}

// Private

interface Mutable {
  readonly evict: (PlannedPod & { readonly held: string | null })[]
  readonly wait: PlannedPod[]
  readonly skip: PlannedPod[]
  readonly refuse: PlannedPod[]
}

function stayReason({ mirror, controller }: DrainPod): string | null {
  if (mirror) return 'belongs to the node itself'
  return controller === 'DaemonSet' ? 'belongs to a DaemonSet' : null
}

/** Started again elsewhere, a run would do its work twice. */
function waitReason({ ours, kind }: DrainPod): string | null {
  if (ours === null || (kind !== 'job' && kind !== 'cron')) return null
  return `${ours} is a run that comes to its end`
}

function refuseReason(
  node: string,
  pod: DrainPod,
  budgets: readonly Budget[],
  { localData, vanishing }: DrainScope,
): string | null {
  const several = budgetsOf(pod, budgets)
  // Ours is deleted when its time has come.
  if (several.length > 1 && !(vanishing && pod.ours !== null)) return severalText(several)
  if (localData || vanishing) return null
  if (pod.controller === '') return 'nothing would start it again elsewhere'
  if (pod.localDisk !== null)
    return `its disk ${pod.localDisk} is a part of ${node}: it could start nowhere else`
  if (pod.ours === null && pod.scratch.length > 0)
    return `keeps data on the node (${pod.scratch.join(', ')})`
  return null
}

function moveText(pod: DrainPod, budgets: readonly Budget[]): string {
  const { ours, kind, scratch } = pod
  if (ours === null) return scratch.length > 0 ? `loses ${scratch.join(', ')}` : 'moves'
  if (kind !== 'service' || budgetsOf(pod, budgets).length > 0) return `${ours} moves`
  return `${ours} moves, without a budget: a single copy is away until its successor is ready`
}

function heldBy(pod: DrainPod, budgets: readonly Budget[]): string | null {
  const [budget, ...more] = budgetsOf(pod, budgets)
  if (budget === undefined) return null
  if (more.length > 0) return severalText([budget, ...more])
  if (budget.allowed > 0) return null
  const { name, needed, expected } = budget
  return needed >= expected && expected > 0
    ? `the budget ${name} lets none of its ${String(expected)} pods go, ever`
    : `the budget ${name} lets no other pod go now`
}

function severalText(budgets: readonly Budget[]): string {
  const names = budgets.map(({ name }) => name).join(', ')
  return `has ${String(budgets.length)} disruption budgets (${names}): the cluster evicts no such pod`
}

function fulfils(rule: Json, labels: Labels): boolean {
  const value = labels[textAt(rule, 'key')]
  const values = listAt(rule, 'values')
  switch (textAt(rule, 'operator')) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    default:
      return false
  }
}

function byName(a: DrainPod, b: DrainPod): number {
  return `${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1
}
