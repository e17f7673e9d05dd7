import type { DesiredApp, Engine, ReleaseTraffic } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { Clock } from '../model/clock.ts'
import type { Rollout } from '../model/release.ts'
import type { Store } from '../model/store.ts'
import type { ServedCounts } from '../model/traffic.ts'
import { judgeCanary, servedBy, servedSince, type CanaryVerdict } from './canary-verdict.ts'
import { failingProcess, rolloutError, untilActual } from './convergence.ts'
import { desiredDuring, type Pair } from './desired.ts'
import { engineNotes } from './engine-notes.ts'

export interface ShiftOptions {
  readonly engine: Engine
  readonly store: Store
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Keeps the share before the engine is told of it. */
  readonly save: (rollout: Rollout) => Promise<void>
  /** A line for those who follow. */
  readonly say: (line: string) => void
}

const TICK_MS = 1_000
/** A canary without enough traffic is held at most this many times its pause, and at least ten minutes. */
const HOLD_PAUSES = 10
const LEAST_HOLD_MS = 600_000

/** What was served so far; null with the reason where it cannot be seen. */
type Reading =
  { readonly traffic: readonly ReleaseTraffic[] } | { readonly traffic: null; readonly why: string }

/**
 * Moves the traffic from the stable release to the candidate, step by step, and watches the candidate at each. Resumed, it goes on at the share that was saved.
 * @throws FairwayError ROLLOUT_FAILED where the candidate fails or its verdict is bad or does not come, SUPERSEDED where a newer rollout waits
 */
export class TrafficShift {
  readonly #pair: Pair
  readonly #options: ShiftOptions

  constructor(pair: Pair, options: ShiftOptions) {
    this.#pair = pair
    this.#options = options
  }

  async run(begun: Rollout): Promise<Rollout> {
    let rollout = begun
    for (const share of this.#steps().filter((step) => step >= begun.share)) {
      rollout = { ...rollout, share }
      await this.#options.save(rollout)
      await this.#apply(rollout)
      if (share < 100) await this.#observe(rollout)
    }
    return rollout
  }

  async #apply(rollout: Rollout): Promise<void> {
    const { engine, signal } = this.#options
    await engine.apply(await this.#desired(rollout))
    await untilActual(engine, this.#pair.candidate, signal, ({ workloads }) =>
      workloads.every(({ phase }) => phase === 'routed' || phase === 'converged'),
    )
  }

  /** Until the pause is over and every canary passes; a bad verdict ends it at once. */
  async #observe(rollout: Rollout): Promise<void> {
    const { engine, clock, signal, say } = this.#options
    const { ref } = rollout
    let before = await this.#measure(ref)
    let isHeld = false
    const since = clock.elapsed()
    const pauseMs = this.#pauseMs()
    say(`${String(rollout.share)} % of the traffic goes to release ${this.#number()}`)
    for (const note of await this.#shareNotes(rollout)) say(`  ${note}`)
    for (;;) {
      await clock.sleep(Math.min(TICK_MS, Math.max(10, pauseMs)), signal)
      await this.#refuseIfNewer(rollout)
      const failing = failingProcess(engine.actual(ref))
      if (failing !== null) throw await rolloutError(engine, this.#pair.candidate, failing, signal)
      const now = await this.#measure(ref)
      // What could not be seen at the beginning is counted from when it first can.
      if (before.traffic === null) before = now
      const verdicts = this.#judge(before, now)
      const bad = verdicts.find(({ verdict }) => verdict === 'fail')
      if (bad !== undefined) throw this.#refused(rollout, bad.reason)
      const waited = clock.elapsed() - since
      if (waited < pauseMs) continue
      const held = verdicts.find(({ verdict }) => verdict === 'hold')
      if (held === undefined) {
        for (const { reason } of verdicts) say(`  ${reason}`)
        return
      }
      if (!isHeld) say(`  waits: ${held.reason}`)
      isHeld = true
      if (waited > Math.max(LEAST_HOLD_MS, pauseMs * HOLD_PAUSES))
        throw this.#refused(
          rollout,
          `no verdict in ${String(Math.round(waited / 1000))} s: ${held.reason}`,
        )
    }
  }

  /** A source of counts that does not answer holds a canary; it says nothing against it. */
  async #measure(ref: AppRef): Promise<Reading> {
    const isJudged = Object.values(this.#pair.candidate.spec.processes).some(
      ({ canary }) => canary?.analysis != null,
    )
    if (!isJudged) return { traffic: [] }
    try {
      const traffic = await this.#options.engine.measure(ref)
      return traffic === null ? { traffic, why: 'nothing says what releases serve' } : { traffic }
    } catch (error) {
      if (!(error instanceof FairwayError)) throw error
      return { traffic: null, why: error.message }
    }
  }

  #judge(before: Reading, after: Reading): readonly CanaryVerdict[] {
    const { stable, candidate } = this.#pair
    return Object.values(candidate.spec.processes).flatMap(({ name, canary }) => {
      if (canary?.analysis == null) return []
      const unseen = [after, before].find(({ traffic }) => traffic === null)
      if (unseen?.traffic === null) return [{ verdict: 'hold', reason: unseen.why }]
      const period = (release: number): ServedCounts =>
        servedSince(
          servedBy(before.traffic ?? [], name, release),
          servedBy(after.traffic ?? [], name, release),
        )
      return [
        judgeCanary(
          { candidate: period(candidate.number), stable: period(stable.number) },
          canary.analysis,
        ),
      ]
    })
  }

  /** Where the engine splits the traffic otherwise than the step says. */
  async #shareNotes(rollout: Rollout): Promise<readonly string[]> {
    const { engine } = this.#options
    const always = await engineNotes(engine, await this.#desired({ ...rollout, share: 0 }))
    const now = await engineNotes(engine, await this.#desired(rollout))
    return now.filter((note) => !always.includes(note))
  }

  async #desired({ ref, share }: Rollout): Promise<DesiredApp> {
    const { store, clock } = this.#options
    return desiredDuring(this.#pair, share, await store.ensureApp(ref, clock.now()))
  }

  /** A person who deploys or rolls back while a canary is watched does not wait for its end. */
  async #refuseIfNewer(rollout: Rollout): Promise<void> {
    const unfinished = await this.#options.store.listUnfinishedRollouts()
    const newer = unfinished.some(
      ({ ref, id, status }) =>
        refKey(ref) === refKey(rollout.ref) && id !== rollout.id && status === 'queued',
    )
    if (newer) throw new FairwayError('SUPERSEDED', 'a newer one took over while this was watched')
  }

  #refused(rollout: Rollout, reason: string): FairwayError {
    return new FairwayError(
      'ROLLOUT_FAILED',
      `release ${this.#number()} did not hold at ${String(rollout.share)} % of the traffic`,
      { details: { diagnosis: [reason] } },
    )
  }

  #number(): string {
    return String(this.#pair.candidate.number)
  }

  #steps(): readonly number[] {
    const steps = Object.values(this.#pair.candidate.spec.processes).flatMap(
      ({ canary }) => canary?.steps ?? [],
    )
    return [...new Set([...steps, 100])].sort((a, b) => a - b)
  }

  #pauseMs(): number {
    const pauses = Object.values(this.#pair.candidate.spec.processes).map(
      ({ canary }) => canary?.pauseMs ?? 0,
    )
    return Math.max(0, ...pauses)
  }
}
