import type { DesiredApp } from '../model/engine.ts'
import { parseProcessName } from '../model/names.ts'
import { slotServiceName } from './object-names.ts'
import type { PodFacts } from './pod-facts.ts'
import { SLOTS } from './slots.ts'
import type { Serving } from './traffic-query.ts'
import type { WorkloadFacts } from './workload-facts.ts'

/** Pure: who serves an app, as the cluster shows it, and what of its requests are only probes. */
export function servingOf(
  namespace: string,
  desired: DesiredApp | null,
  pods: readonly PodFacts[],
  workloads: readonly WorkloadFacts[],
): Serving {
  const probed = (desired?.workloads ?? []).flatMap(({ tracks }) =>
    tracks.flatMap(({ spec: { health } }) => [health.ready, health.live]),
  )
  return {
    namespace,
    copies: pods
      .filter(({ kind, process }) => kind === 'service' && process !== '')
      .map(({ name, process, release }) => ({ name, process: parseProcessName(process), release })),
    slots: workloads.flatMap(({ name, process, release, slot, deleting }) => {
      const known = SLOTS.find((one) => one === slot)
      if (known === undefined || process === '' || deleting) return []
      const named = parseProcessName(process)
      const service = slotServiceName(named, known)
      return [{ workload: name, service, process: named, release }]
    }),
    probed: probed.filter((path) => path !== null),
  }
}
