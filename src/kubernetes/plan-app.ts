import type { DesiredApp, Workload } from '../model/engine.ts'
import type { AppRef } from '../model/names.ts'
import { objectKey, type KubeObject } from './object.ts'
import { isStateful } from './object-names.ts'
import { planBase } from './plan-base.ts'
import { planCron } from './plan-cron.ts'
import { planPolicy, planServices } from './plan-network.ts'
import { planRoutes } from './plan-routes.ts'
import { planBudget, planScaler } from './plan-scaling.ts'
import { callsServer } from './pod-template.ts'
import { planDoorPolicy } from './pod-door.ts'
import type { PlanSettings } from './plan-settings.ts'
import { planVolumes } from './plan-volumes.ts'
import { planTrack } from './plan-workload.ts'
import { assignSlots, type SlottedTrack } from './slots.ts'

/**
 * Pure: every object that one app in one environment needs, in an order in which they can be applied. What of ours is in the namespace and not in here is
 * to be removed, once what replaces it is ready. Nothing to run = nothing planned.
 */
export function planApp(desired: DesiredApp, settings: PlanSettings): readonly KubeObject[] {
  const workloads = [...desired.workloads].sort((a, b) => (a.process < b.process ? -1 : 1))
  if (workloads.length === 0) return []
  const { ref } = desired
  const processes = workloads.map(({ spec }) => spec)
  const copies = workloads.flatMap(({ tracks }) =>
    tracks.map(({ secrets, spec }) => ({ secrets, process: spec })),
  )
  return [
    ...planBase(ref, processes, settings),
    ...planDoorPolicy(ref, copies.some(callsServer), settings),
    ...planVolumes(ref, processes, settings),
    ...workloads.flatMap((workload) => onceEach(planWorkload(ref, workload, settings))),
  ]
}

/** Which slot each track of a workload has. A process with a disk of its own has one slot and one track, the stable one. */
export function slotsOf(workload: Workload, settings: PlanSettings): readonly SlottedTrack[] {
  const slotted = assignSlots(workload.tracks, settings.slots.get(workload.process) ?? {})
  if (!isStateful(workload.spec)) return slotted
  return slotted.slice(0, 1).map(({ track }) => ({ slot: 'a', track }))
}

// Private

/** Two tracks with the same values plan the same Secret. */
function onceEach(objects: readonly KubeObject[]): readonly KubeObject[] {
  return [...new Map(objects.map((object) => [objectKey(object), object])).values()]
}

function planWorkload(
  ref: AppRef,
  workload: Workload,
  settings: PlanSettings,
): readonly KubeObject[] {
  if (workload.spec.type === 'cron') return planCron(ref, workload, settings)
  const slotted = slotsOf(workload, settings)
  return [
    ...planPolicy(ref, workload, slotted, settings),
    ...slotted.flatMap((one) => [
      ...planTrack(ref, workload, one, settings),
      ...planScaler(ref, workload, one, settings),
    ]),
    ...planBudget(ref, workload, settings),
    ...planServices(ref, workload, slotted, settings),
    ...planRoutes(ref, workload, slotted, settings),
  ]
}
