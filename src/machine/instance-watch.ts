import type { HealthSpec } from '../model/app-spec.ts'
import type { Clock } from '../model/clock.ts'
import type { Address, ExitFacts, InstanceSpec } from '../model/instance.ts'
import type { Runner } from '../model/runner.ts'
import { probe, type ProbeAnswer } from './probe.ts'

export type WatchEvent =
  | { readonly kind: 'waiting'; readonly text: string }
  | { readonly kind: 'ready' }
  | { readonly kind: 'unready'; readonly text: string }
  /** Not ready within health.start, or unready for as long as that. */
  | { readonly kind: 'late'; readonly text: string }
  | { readonly kind: 'exited'; readonly exit: ExitFacts }

export interface InstanceWatchOptions {
  readonly spec: InstanceSpec
  readonly address: Address | null
  readonly runner: Pick<Runner, 'waitForExit'>
  readonly clock: Clock
  readonly onEvent: (event: WatchEvent) => void
}

/** How long a process without a port must stay alive to count as ready. */
const SETTLED_MS = 1_000
/** A look takes a tenth of a millisecond, so that a quick app is routed within milliseconds; one that takes long is looked at less often. */
const FIRST_PAUSE_MS = 2
const LONGEST_PAUSE_MS = 200
const PAUSE_SHARE = 0.05

/** Pause after a look at an instance that has been starting for `waitedMs`: being noticed adds at most a twentieth to its start. */
export function pauseAfter(
  waitedMs: number,
  health: Pick<HealthSpec, 'intervalMs' | 'startMs'>,
): number {
  const longest = Math.min(LONGEST_PAUSE_MS, health.intervalMs, health.startMs)
  return Math.min(longest, Math.max(FIRST_PAUSE_MS, Math.round(waitedMs * PAUSE_SHARE)))
}

/** Follows one instance from its start to its end: readiness, later health, exit. Ends with `exited` or when the signal aborts. */
export async function watchInstance(
  options: InstanceWatchOptions,
  signal: AbortSignal,
): Promise<void> {
  const own = new AbortController()
  const stop = AbortSignal.any([signal, own.signal])
  const health = followHealth(options, stop).catch((error: unknown) => {
    if (!stop.aborted) throw error
  })
  try {
    const exit = await options.runner.waitForExit(options.spec.id, signal)
    if (exit !== null) options.onEvent({ kind: 'exited', exit })
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    own.abort()
    await health
  }
}

async function followHealth(options: InstanceWatchOptions, signal: AbortSignal): Promise<void> {
  const { spec, address, clock, onEvent } = options
  if (!spec.listens || address === null) {
    await clock.sleep(SETTLED_MS, signal)
    onEvent({ kind: 'ready' })
    return
  }
  if (!(await becomesReady(options, address, signal))) return
  onEvent({ kind: 'ready' })
  await staysReady(options, address, signal)
}

async function becomesReady(
  options: InstanceWatchOptions,
  address: Address,
  signal: AbortSignal,
): Promise<boolean> {
  const { spec, clock, onEvent } = options
  const began = clock.elapsed()
  const deadline = began + spec.health.startMs
  let last = ''
  for (;;) {
    const answer = await probe(address, spec.health)
    if (signal.aborted) return false
    if (answer.ok) return true
    if (answer.text !== last) onEvent({ kind: 'waiting', text: answer.text })
    last = answer.text
    if (clock.elapsed() >= deadline) {
      onEvent({ kind: 'late', text: answer.text })
      return false
    }
    await clock.sleep(pauseAfter(clock.elapsed() - began, spec.health), signal)
  }
}

async function staysReady(
  options: InstanceWatchOptions,
  address: Address,
  signal: AbortSignal,
): Promise<void> {
  const { spec, clock, onEvent } = options
  let failures = 0
  let since: number | null = null
  for (;;) {
    await clock.sleep(spec.health.intervalMs, signal)
    const answer: ProbeAnswer = await probe(address, spec.health)
    if (signal.aborted) return
    failures = answer.ok ? 0 : failures + 1
    if (answer.ok && since !== null) onEvent({ kind: 'ready' })
    if (answer.ok) since = null
    if (failures >= spec.health.failures && since === null) {
      since = clock.elapsed()
      onEvent({ kind: 'unready', text: answer.text })
    }
    if (since !== null && clock.elapsed() - since >= spec.health.startMs) {
      onEvent({ kind: 'late', text: answer.text })
      return
    }
  }
}
