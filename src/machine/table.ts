import type { DesiredApp, Workload } from '../model/engine.ts'
import type { AppRef } from '../model/names.ts'
import { refKey } from '../model/names.ts'
import type { Caller, Route, Service, Target } from '../model/traffic.ts'
import type { Tracked } from './tracked.ts'

const LONGEST_HOLD_MS = 30_000

/** The part of the routing table that one app owns. */
export interface AppTable {
  readonly services: readonly Service[]
  readonly routes: readonly Route[]
  readonly callers: readonly Caller[]
}

/** Host names under which an app is reached where its file names none: `<app>.localhost`, `<app>--<environment>.localhost`. */
export function defaultHost(ref: AppRef): string {
  return ref.environment === 'production'
    ? `${ref.app}.localhost`
    : `${ref.app}--${ref.environment}.localhost`
}

/** Pure: what the router should know of this app. Only ready copies get traffic; where none is ready, unready ones are better than none. */
export function appTable(desired: DesiredApp, instances: readonly Tracked[]): AppTable {
  const web = desired.workloads.filter((workload) => workload.spec.type === 'web')
  return {
    services: web.map((workload) => service(desired.ref, workload, instances)),
    routes: web.flatMap((workload) =>
      workload.spec.routes.map((route) => ({
        host: route.host ?? defaultHost(desired.ref),
        path: route.path,
        service: serviceKey(desired.ref, workload.process),
      })),
    ),
    callers: instances.flatMap(({ source }) =>
      source === null ? [] : [{ address: source, ref: desired.ref }],
    ),
  }
}

export function serviceKey(ref: AppRef, process: string): string {
  return `${refKey(ref)}/${process}`
}

function service(ref: AppRef, workload: Workload, instances: readonly Tracked[]): Service {
  const mine = instances.filter(({ spec }) => spec.process === workload.process)
  const ready = mine.filter(({ phase }) => phase === 'ready')
  const routed = ready.length > 0 ? ready : mine.filter(({ phase }) => phase === 'unready')
  return {
    key: serviceKey(ref, workload.process),
    ref,
    process: workload.process,
    targets: weigh(workload, routed),
    expected: workload.tracks.some((track) => track.replicas > 0),
    holdMs: Math.min(LONGEST_HOLD_MS, workload.spec.health.startMs),
  }
}

/** Spreads each track's weight over its copies; copies of older releases count as stable. */
function weigh(workload: Workload, routed: readonly Tracked[]): readonly Target[] {
  const candidate = workload.tracks.find((track) => track.name === 'candidate')
  const isCandidate = ({ spec }: Tracked): boolean =>
    candidate !== undefined && spec.release === candidate.release
  const candidates = routed.filter(isCandidate).length
  const share = candidate === undefined || candidates === 0 ? 0 : candidate.weight
  return routed.flatMap((tracked) => {
    if (tracked.address === null) return []
    const count = isCandidate(tracked) ? candidates : routed.length - candidates
    const total = isCandidate(tracked) ? share : 100 - share
    const weight = share === 0 ? 100 : Math.max(1, Math.round((total * 100) / count))
    return [{ id: tracked.spec.id, address: tracked.address, weight: total === 0 ? 0 : weight }]
  })
}
