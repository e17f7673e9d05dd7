import type { Address, ExitFacts, Instance, InstanceId, InstanceSpec } from '../model/instance.ts'
import type { PlannedInstance } from './plan.ts'

/** What the engine knows of one copy; replaced as a whole on every change. */
export interface Tracked {
  readonly spec: InstanceSpec
  readonly phase: 'starting' | 'ready' | 'unready' | 'draining' | 'stopping' | 'crashed'
  readonly reason: string
  readonly address: Address | null
  /** From where it calls others. */
  readonly source: string | null
  readonly startedAt: number
  readonly restarts: number
  readonly exit: ExitFacts | null
}

export type TrackedMap = ReadonlyMap<InstanceId, Tracked>

/** @param outdated it has a value that is another one now */
export function toPlanned(tracked: Tracked, outdated: boolean): PlannedInstance {
  const { phase } = tracked
  return {
    id: tracked.spec.id,
    process: tracked.spec.process,
    release: tracked.spec.release,
    phase: phase === 'draining' || phase === 'stopping' ? 'leaving' : phase,
    startedAt: tracked.startedAt,
    outdated,
  }
}

/** @param trouble what is to be said of it beside its state */
export function toInstance(
  tracked: Tracked,
  track: 'stable' | 'candidate',
  trouble: string | null,
): Instance {
  const { spec, phase, reason, address, startedAt, restarts, exit } = tracked
  return {
    id: spec.id,
    ref: spec.ref,
    process: spec.process,
    release: spec.release,
    track,
    state: phase,
    reason: [reason, trouble].filter(Boolean).join('; '),
    address,
    startedAt,
    restarts,
    exit,
  }
}

/** For people: 'exit code 3', 'killed by SIGSEGV', 'out of memory (limit 128 MiB)'. */
export function describeExit(exit: ExitFacts, memoryLimit: number): string {
  if (exit.reason === 'oom')
    return `out of memory (limit ${String(Math.round(memoryLimit / 1_048_576))} MiB)`
  if (exit.signal !== null) return `killed by ${exit.signal}`
  return exit.code === null ? 'ended while nobody looked' : `exit code ${String(exit.code)}`
}
