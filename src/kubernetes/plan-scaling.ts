import type { ProcessSpec } from '../model/app-spec.ts'
import type { Track, Workload } from '../model/engine.ts'
import type { AppRef } from '../model/names.ts'
import { namespaceOf } from './labels.ts'
import { kubeObject, type KubeObject } from './object.ts'
import { isStateful, workloadName } from './object-names.ts'
import { copiesSelector, ownershipLabels } from './ownership.ts'
import { CONTAINER, millicores } from './pod-template.ts'
import type { BaseSettings } from './plan-settings.ts'
import type { SlottedTrack } from './slots.ts'

/**
 * Whether the cluster decides the number of copies of a track: then its workload says nothing of replicas. Scaled to zero by hand, nothing decides; with a
 * disk of its own there is one copy.
 */
export function hasScaler(
  process: Pick<ProcessSpec, 'autoscale' | 'type' | 'volumes'>,
  { replicas }: Pick<Track, 'replicas'>,
): boolean {
  return process.autoscale !== null && replicas > 0 && !isStateful(process)
}

/**
 * The scaler of one track. A candidate has one too, that holds it where it is: were it without, it would have a number of replicas of its own, and taking
 * that away when it becomes stable would leave it with one copy.
 */
export function planScaler(
  ref: AppRef,
  { spec }: Workload,
  { slot, track }: SlottedTrack,
  settings: BaseSettings,
): readonly KubeObject[] {
  if (!hasScaler(spec, track)) return []
  const name = workloadName(spec, slot)
  const most = track.name === 'stable' ? Math.max(spec.scale.max, track.replicas) : track.replicas
  return [
    kubeObject({
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      name,
      namespace: namespaceOf(ref),
      labels: ownershipLabels({ ref, owner: settings.owner, process: spec.name, slot }),
      fields: {
        spec: {
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
          minReplicas: track.replicas,
          maxReplicas: most,
          metrics: metrics(spec),
          behavior: BEHAVIOR,
        },
      },
    }),
  ]
}

/**
 * Maintenance takes at most so many at once, and never all. One budget for both tracks: a pod that two budgets select cannot be evicted. A single copy has
 * none: a budget would block the node for ever.
 */
export function planBudget(
  ref: AppRef,
  { spec, tracks }: Workload,
  settings: BaseSettings,
): readonly KubeObject[] {
  const replicas = Math.max(0, ...tracks.map((track) => track.replicas))
  if (replicas < 2) return []
  return [
    kubeObject({
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      name: spec.name,
      namespace: namespaceOf(ref),
      labels: ownershipLabels({ ref, owner: settings.owner, process: spec.name }),
      fields: {
        spec: {
          maxUnavailable: Math.min(spec.disruption, replicas - 1),
          selector: { matchLabels: copiesSelector(spec.name, null) },
          // Else an app that crashes in a loop would keep its node from being drained.
          unhealthyPodEvictionPolicy: 'AlwaysAllow',
        },
      },
    }),
  ]
}

// Private

/** A load while starting is no reason for more copies; fewer come slowly, at most half in a minute. */
const BEHAVIOR = Object.freeze({
  scaleUp: {
    stabilizationWindowSeconds: 60,
    selectPolicy: 'Max',
    policies: [
      { type: 'Percent', value: 100, periodSeconds: 15 },
      { type: 'Pods', value: 4, periodSeconds: 15 },
    ],
  },
  scaleDown: {
    stabilizationWindowSeconds: 300,
    selectPolicy: 'Max',
    policies: [{ type: 'Percent', value: 50, periodSeconds: 60 }],
  },
})

/** Shares are of the limits, as the app file says them; utilisation would be of the requests. Only the app's container counts. */
function metrics({ autoscale, resources: { cpu, memory } }: ProcessSpec): unknown[] {
  const metric = (name: string, averageValue: string): unknown => ({
    type: 'ContainerResource',
    containerResource: {
      name,
      container: CONTAINER,
      target: { type: 'AverageValue', averageValue },
    },
  })
  const { cpuPercent = null, memoryPercent = null } = autoscale ?? {}
  return [
    ...(cpuPercent === null ? [] : [metric('cpu', millicores((cpu * cpuPercent) / 100))]),
    ...(memoryPercent === null
      ? []
      : [metric('memory', String(Math.floor((memory * memoryPercent) / 100)))]),
  ]
}
