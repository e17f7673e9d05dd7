import type { DesiredApp, Track, Workload } from '../model/engine.ts'
import type { InstanceId, InstanceSpec } from '../model/instance.ts'

/** What the planner needs to know of one copy. */
export interface PlannedInstance {
  readonly id: InstanceId
  readonly process: string
  readonly release: number
  /** `ready` = answers and may be routed; `leaving` = being drained, stopped or removed; `crashed` = ended unasked, not yet removed. */
  readonly phase: 'starting' | 'ready' | 'unready' | 'leaving' | 'crashed'
  readonly startedAt: number
  /** It was started with a value that is another one now. Absent = no. */
  readonly outdated?: boolean
}

export interface PlanInput {
  readonly desired: DesiredApp
  readonly instances: readonly PlannedInstance[]
  /** Earliest time at which another copy of `process@release` may start; absent = now. Crash backoff lives here. */
  readonly notBefore: ReadonlyMap<string, number>
  readonly now: number
}

export type PlanStep =
  | { readonly kind: 'start'; readonly process: string; readonly release: number }
  /** Out of the routes, drained, stopped, removed. */
  | { readonly kind: 'retire'; readonly id: InstanceId; readonly why: string }
  /** Nothing to do before this time. */
  | { readonly kind: 'wait'; readonly until: number }

/**
 * The steps towards `desired`. Pure and level-triggered: when nothing is left to do it returns no start and no retire, whatever happened
 * before. Promises: a ready copy leaves only while as many ready ones stay as the workload asks for (rolling); with `recreate`
 * nothing new starts before all old ones are gone.
 */
export function plan(input: PlanInput): readonly PlanStep[] {
  const wanted = new Map(
    input.desired.workloads.map((workload) => [workload.process as string, workload]),
  )
  const steps = input.instances
    .filter((instance) => !wanted.has(instance.process) && instance.phase !== 'leaving')
    .map((instance): PlanStep => ({ kind: 'retire', id: instance.id, why: 'process removed' }))
  for (const workload of wanted.values()) steps.push(...planWorkload(workload, input))
  return steps
}

export function releaseKey(process: string, release: number): string {
  return `${process}@${String(release)}`
}

export function specKey({ process, release }: Pick<InstanceSpec, 'process' | 'release'>): string {
  return releaseKey(process, release)
}

/** Age at which this copy is replaced: spread over the last tenth of `maxAgeMs` by its id, so that copies do not go all at once. */
export function expiryOf(instance: PlannedInstance, maxAgeMs: number): number {
  let hash = 0
  for (const char of instance.id) hash = (hash * 31 + char.charCodeAt(0)) % 1000
  return instance.startedAt + Math.round(maxAgeMs * (0.9 + hash / 10_000))
}

function planWorkload(workload: Workload, input: PlanInput): readonly PlanStep[] {
  const mine = input.instances.filter((instance) => instance.process === workload.process)
  const releases = new Set(workload.tracks.map((track) => track.release))
  const old = mine.filter((instance) => !releases.has(instance.release))
  const replacing = workload.spec.strategy === 'recreate' && old.length > 0
  const steps: PlanStep[] = []
  if (!replacing)
    for (const track of workload.tracks) steps.push(...planTrack(workload, track, mine, input))
  steps.push(...retireOld(workload, mine, old, replacing))
  return steps
}

function planTrack(
  workload: Workload,
  track: Track,
  mine: readonly PlannedInstance[],
  input: PlanInput,
): readonly PlanStep[] {
  const own = mine.filter((instance) => instance.release === track.release)
  const useless = own.filter((instance) => isUseless(workload, instance))
  const recreating = workload.spec.strategy === 'recreate' && own.some(isLeavingForChange)
  const going = useless.map((instance) => retire(instance, CHANGED))
  if (recreating || (workload.spec.strategy === 'recreate' && useless.length > 0)) return going
  const fresh = own.filter(
    (instance) =>
      ['starting', 'ready', 'unready'].includes(instance.phase) && !useless.includes(instance),
  )
  return [...going, ...planFresh(workload, track, { own, fresh }, input)]
}

function planFresh(
  workload: Workload,
  track: Track,
  {
    own,
    fresh,
  }: { readonly own: readonly PlannedInstance[]; readonly fresh: readonly PlannedInstance[] },
  input: PlanInput,
): readonly PlanStep[] {
  const expired = expiredCopy(workload, fresh, input.now)
  const missing = track.replicas + (expired === null ? 0 : 1) - fresh.length
  if (missing > 0) return startMissing(workload, track, missing, own, input)
  const steps = own
    .filter((instance) => instance.phase === 'crashed')
    .map((instance) => retire(instance, 'crashed'))
  const surplus = fresh.length - track.replicas
  if (surplus > 0 && maySurplusLeave(fresh, track.replicas)) {
    steps.push(
      ...whoMayLeave(leavingFirst(fresh, expired).slice(0, surplus), fresh, track.replicas).map(
        (instance) => retire(instance, whyItLeaves(instance, expired)),
      ),
    )
  }
  const next = nextExpiry(workload, fresh)
  if (next !== null && expired === null) steps.push({ kind: 'wait', until: next })
  return steps
}

function startMissing(
  workload: Workload,
  track: Track,
  missing: number,
  own: readonly PlannedInstance[],
  input: PlanInput,
): readonly PlanStep[] {
  const notBefore = input.notBefore.get(releaseKey(workload.process, track.release)) ?? 0
  if (notBefore > input.now) return [{ kind: 'wait', until: notBefore }]
  // After a crash one copy at a time proves itself; the others follow when it runs.
  const count = notBefore > 0 ? 1 : missing
  const crashed = own
    .filter((instance) => instance.phase === 'crashed')
    .map((instance) => retire(instance, 'crashed'))
  const start: PlanStep = { kind: 'start', process: workload.process, release: track.release }
  return [...crashed, ...Array.from({ length: count }, () => start)]
}

/** A surplus copy leaves only when the promised number is ready without it, or when it is not ready itself. */
function maySurplusLeave(fresh: readonly PlannedInstance[], replicas: number): boolean {
  const ready = fresh.filter((instance) => instance.phase === 'ready').length
  return ready >= replicas || replicas === 0
}

/** Of the surplus those that leave the promised number ready: an aged copy stays until its replacement is. */
function whoMayLeave(
  surplus: readonly PlannedInstance[],
  fresh: readonly PlannedInstance[],
  replicas: number,
): readonly PlannedInstance[] {
  let spare = fresh.filter((instance) => instance.phase === 'ready').length - replicas
  return surplus.filter((instance) => instance.phase !== 'ready' || spare-- > 0)
}

function leavingFirst(
  fresh: readonly PlannedInstance[],
  expired: PlannedInstance | null,
): readonly PlannedInstance[] {
  const rank = (instance: PlannedInstance): number =>
    instance.id === expired?.id
      ? 0
      : instance.phase === 'unready'
        ? 1
        : instance.phase === 'starting'
          ? 2
          : 3
  return [...fresh].sort(
    (a, b) => rank(a) - rank(b) || b.startedAt - a.startedAt || (a.id < b.id ? -1 : 1),
  )
}

const CHANGED = 'a value changed'

/** Its values are those of before, and nothing is lost with it: it answers nobody, or its strategy lets nothing new start beside it. */
function isUseless({ spec }: Workload, { phase, outdated = false }: PlannedInstance): boolean {
  return outdated && (phase === 'unready' || (phase === 'ready' && spec.strategy === 'recreate'))
}

function isLeavingForChange({ phase, outdated = false }: PlannedInstance): boolean {
  return outdated && phase === 'leaving'
}

function whyItLeaves(instance: PlannedInstance, expired: PlannedInstance | null): string {
  if (expired === null) return 'scaled down'
  return instance.outdated === true ? CHANGED : 'maximum age'
}

/** At most one copy is recycled at a time, and only while all others are ready. */
function expiredCopy(
  workload: Workload,
  fresh: readonly PlannedInstance[],
  now: number,
): PlannedInstance | null {
  const { maxAgeMs } = workload.spec
  const isOld = (instance: PlannedInstance): boolean =>
    instance.outdated === true || (maxAgeMs !== null && expiryOf(instance, maxAgeMs) <= now)
  const due = fresh.filter((instance) => instance.phase === 'ready' && isOld(instance))
  return due.sort((a, b) => a.startedAt - b.startedAt || (a.id < b.id ? -1 : 1))[0] ?? null
}

function nextExpiry(workload: Workload, fresh: readonly PlannedInstance[]): number | null {
  const { maxAgeMs } = workload.spec
  if (maxAgeMs === null || fresh.length === 0) return null
  return Math.min(...fresh.map((instance) => expiryOf(instance, maxAgeMs)))
}

function retireOld(
  workload: Workload,
  mine: readonly PlannedInstance[],
  old: readonly PlannedInstance[],
  replacing: boolean,
): readonly PlanStep[] {
  const going = old.filter((instance) => instance.phase !== 'leaving')
  if (replacing) return going.map((instance) => retire(instance, 'recreated'))
  const replicas = workload.tracks.reduce((sum, track) => sum + track.replicas, 0)
  const isNew = (instance: PlannedInstance): boolean => !old.includes(instance)
  const readyNew = mine.filter((instance) => isNew(instance) && instance.phase === 'ready').length
  const readyOld = going
    .filter((instance) => instance.phase === 'ready')
    .sort((a, b) => a.startedAt - b.startedAt)
  const spare = Math.max(0, readyNew + readyOld.length - replicas)
  const mayLeave = readyNew > 0 || replicas === 0
  const leaving = replicas === 0 ? readyOld : readyOld.slice(0, spare)
  return [
    ...(mayLeave
      ? going.filter((instance) => instance.phase !== 'ready')
      : going.filter((instance) => instance.phase === 'crashed')),
    ...(mayLeave ? leaving : []),
  ].map((instance) => retire(instance, 'superseded'))
}

function retire(instance: PlannedInstance, why: string): PlanStep {
  return { kind: 'retire', id: instance.id, why }
}
