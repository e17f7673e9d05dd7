import type { Track, Workload } from '../model/engine.ts'
import type { InstanceSpec } from '../model/instance.ts'
import type { AppRef } from '../model/names.ts'
import { plannedNames } from './payload.ts'

/** What a new copy of a track is. @param one tells it from the other copies */
export function instanceSpec(
  ref: AppRef,
  { workload, track }: { readonly workload: Workload; readonly track: Track },
  one: { readonly suffix: string; readonly createdAt: number },
): InstanceSpec {
  const { spec } = track
  return {
    id: `${workload.process}-${String(track.release)}-${one.suffix}`,
    ref,
    process: workload.process,
    kind: 'service',
    release: track.release,
    image: track.image,
    argv: spec.command ?? track.image.command,
    env: track.env,
    port: spec.port ?? track.image.port,
    listens: spec.type === 'web',
    health: spec.health,
    shutdown: spec.shutdown,
    resources: spec.resources,
    ...plannedNames(track.secrets),
    createdAt: one.createdAt,
  }
}
