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
/** Looks at a starting instance: nearly at once, then less often, so that a quick app is routed in milliseconds. */
const FIRST_LOOKS_MS = [
  4, 6, 8, 10, 10, 10, 10, 15, 15, 20, 20, 25, 25, 30, 30, 40, 40, 50, 50, 75, 75, 100,
]

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
  const deadline = clock.now() + spec.health.startMs
  let last = ''
  for (let look = 0; ; look++) {
    const answer = await probe(address, spec.health)
    if (signal.aborted) return false
    if (answer.ok) return true
    if (answer.text !== last) onEvent({ kind: 'waiting', text: answer.text })
    last = answer.text
    if (clock.now() >= deadline) {
      onEvent({ kind: 'late', text: answer.text })
      return false
    }
    await clock.sleep(
      Math.min(FIRST_LOOKS_MS[look] ?? Math.min(200, spec.health.intervalMs), spec.health.startMs),
      signal,
    )
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
      since = clock.now()
      onEvent({ kind: 'unready', text: answer.text })
    }
    if (since !== null && clock.now() - since >= spec.health.startMs) {
      onEvent({ kind: 'late', text: answer.text })
      return
    }
  }
}
