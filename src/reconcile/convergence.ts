import type { ActualApp, Engine } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import type { Release } from '../model/release.ts'

/** Beyond all deadlines of the app file: a guard against an engine that never answers. */
const SLACK_MS = 120_000
/** A failing workload's diagnosis is gathered while we wait this long for it. */
const DIAGNOSIS_MS = 15_000

/**
 * Waits until the engine says what is asked for.
 * @throws FairwayError ROLLOUT_FAILED with the diagnosis where a workload of the release is failing, TIMEOUT where the engine never gets there
 */
export async function untilActual(
  engine: Pick<Engine, 'watch'>,
  release: Release,
  signal: AbortSignal,
  done: (actual: ActualApp) => boolean,
): Promise<ActualApp> {
  const slowest = Math.max(
    0,
    ...Object.values(release.spec.processes).map(
      ({ health, shutdown }) => health.startMs * 3 + shutdown.drainMs,
    ),
  )
  const deadline = AbortSignal.timeout(slowest + SLACK_MS)
  for await (const actual of engine.watch(release.ref, AbortSignal.any([signal, deadline]))) {
    if (done(actual)) return actual
    const failing = failingProcess(actual)
    if (failing !== null) throw await rolloutError(engine, release, failing, signal)
  }
  signal.throwIfAborted()
  throw new FairwayError(
    'TIMEOUT',
    `release ${String(release.number)} did not become ready in time`,
  )
}

export function failingProcess({ workloads }: ActualApp): string | null {
  return workloads.find(({ phase }) => phase === 'failing')?.process ?? null
}

/**
 * Why a process of the release is failing, with what the engine finds out about it in time, else with what its copies say themselves.
 * @param withinMs how long that may take
 */
export async function rolloutError(
  engine: Pick<Engine, 'watch'>,
  release: Pick<Release, 'ref' | 'number'>,
  process: string,
  signal: AbortSignal,
  withinMs = DIAGNOSIS_MS,
): Promise<FairwayError> {
  const message = `${process} of release ${String(release.number)} did not become ready`
  const until = AbortSignal.any([signal, AbortSignal.timeout(withinMs)])
  let reasons: readonly string[] = []
  for await (const { workloads, instances } of engine.watch(release.ref, until)) {
    const diagnosis = workloads.find((workload) => workload.process === process)?.diagnosis ?? []
    if (diagnosis.length > 0)
      return new FairwayError('ROLLOUT_FAILED', message, { details: { diagnosis } })
    reasons = instances
      .filter((one) => one.process === process && one.release === release.number)
      .filter(({ state, reason }) => state !== 'ready' && reason !== '')
      .map(({ id, reason }) => `${process} (${id}): ${reason}`)
  }
  return new FairwayError('ROLLOUT_FAILED', message, { details: { diagnosis: reasons } })
}
