import type { ProcessSpec } from '../model/app-spec.ts'
import type { ClusterFacts } from './cluster-facts.ts'
import { copiesSelector } from './ownership.ts'
import type { Labels } from './object.ts'
import { isStateful } from './object-names.ts'

type Placed = Pick<ProcessSpec, 'name' | 'type' | 'spread' | 'spot' | 'shutdown' | 'volumes'>

/** Where copies go: spread, on or off nodes that can vanish. @param replicas most copies that there may be */
export function placement(
  process: Placed,
  replicas: number,
  facts: Pick<ClusterFacts, 'nodes'>,
): Readonly<Record<string, unknown>> {
  const constraints = [
    ...spreadConstraints(process, replicas, facts),
    ...(process.spot === 'allow' && replicas > 1
      ? [constraint(process, 'karpenter.sh/capacity-type', 'ScheduleAnyway')]
      : []),
  ]
  return {
    ...(constraints.length === 0 ? {} : { topologySpreadConstraints: constraints }),
    ...(process.spot === 'allow' ? { tolerations: SPOT_TAINTS } : { affinity: offSpot() }),
  }
}

/** A scaler of nodes must not move what cannot be moved in the two minutes that a drain is given. */
export function keepAnnotations({ type, shutdown }: Pick<Placed, 'type' | 'shutdown'>): Labels {
  const long = type === 'worker' && shutdown.stopMs > LONG_STOP_MS
  return long || type === 'cron' ? DO_NOT_DISRUPT : {}
}

export const DO_NOT_DISRUPT: Labels = Object.freeze({
  'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false',
  'karpenter.sh/do-not-disrupt': 'true',
})

// Private

const LONG_STOP_MS = 120_000

/** How clouds and autoscalers mark nodes that can vanish; `fairway/spot` for those that none of them made. */
export const SPOT_LABELS: readonly (readonly [string, string])[] = [
  ['cloud.google.com/gke-spot', 'true'],
  ['eks.amazonaws.com/capacityType', 'SPOT'],
  ['fairway/spot', 'true'],
  ['karpenter.sh/capacity-type', 'spot'],
  ['kubernetes.azure.com/scalesetpriority', 'spot'],
]

const SPOT_TAINTS = Object.freeze(
  ['cloud.google.com/gke-spot', 'fairway/spot', 'kubernetes.azure.com/scalesetpriority'].map(
    (key) => ({ key, operator: 'Exists', effect: 'NoSchedule' }),
  ),
)

function offSpot(): unknown {
  const matchExpressions = SPOT_LABELS.map(([key, value]) => ({
    key,
    operator: 'NotIn',
    values: [value],
  }))
  return {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions }],
      },
    },
  }
}

/** One per node is only demanded where there are nodes enough, else a rollout would wait for ever; a zone that is away must not stop anything. */
function spreadConstraints(
  process: Placed,
  replicas: number,
  { nodes }: Pick<ClusterFacts, 'nodes'>,
): readonly unknown[] {
  if (process.spread === 'none') return []
  const strict = process.spread === 'node' && replicas <= nodes
  const byNode = constraint(
    process,
    'kubernetes.io/hostname',
    strict ? 'DoNotSchedule' : 'ScheduleAnyway',
  )
  return process.spread === 'node'
    ? [byNode]
    : [constraint(process, 'topology.kubernetes.io/zone', 'ScheduleAnyway'), byNode]
}

/** Copies of other revisions do not count, else every rollout would end lopsided. */
function constraint(process: Placed, topologyKey: string, whenUnsatisfiable: string): unknown {
  return {
    maxSkew: 1,
    topologyKey,
    whenUnsatisfiable,
    nodeTaintsPolicy: 'Honor',
    labelSelector: { matchLabels: copiesSelector(process.name, null) },
    matchLabelKeys: [isStateful(process) ? 'controller-revision-hash' : 'pod-template-hash'],
  }
}
