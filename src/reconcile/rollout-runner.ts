import { SYSTEM, type AuditEvent } from '../model/audit.ts'
import type { DesiredApp } from '../model/engine.ts'
import { ERRORS, FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { Release, Rollout, RolloutFailure } from '../model/release.ts'
import { activeRelease, urlsOf } from './app-planner.ts'
import type { ReconcileDeps } from './deps.ts'
import { desiredApp, processEnv, runsTwice, secretEnv, planned, secretPlan } from './desired.ts'
import { untilActual } from './convergence.ts'
import { isStepDone, withEnd } from './rollout.ts'
import { ReleaseMaker } from './release-maker.ts'
import type { RolloutFeed } from './rollout-feed.ts'
import { RolloutSteps, type Save } from './rollout-steps.ts'
import { restingTarget, targetNow } from './target-now.ts'
import { TrafficShift } from './traffic-shift.ts'

/**
 * Takes one rollout from where its record says it is to its end. Each step is persisted before and after; a step that was running
 * when the server died is done again, and every step may be done twice. Aborting leaves the record as it is, for the next server.
 */
export class RolloutRunner {
  readonly #deps: ReconcileDeps
  readonly #feed: RolloutFeed
  readonly #steps: RolloutSteps
  readonly #maker: ReleaseMaker

  constructor(deps: ReconcileDeps, feed: RolloutFeed) {
    this.#deps = deps
    this.#feed = feed
    this.#steps = new RolloutSteps(deps.clock, feed)
    this.#maker = new ReleaseMaker(deps, feed, this.#steps)
  }

  async run(queued: Rollout, signal: AbortSignal): Promise<void> {
    let rollout = queued
    const save = async (changed: Rollout): Promise<void> => {
      rollout = changed
      await this.#deps.store.saveRollout(changed)
    }
    try {
      const release = await this.#maker.make(rollout, save, signal)
      await this.#runReleaseCommand(rollout, release, save, signal)
      await this.#start(rollout, release, save, signal)
      await this.#switch(rollout, release, save, signal)
      const published = this.#publish(release)
      await this.#drain(rollout, release, save, signal).finally(() => published)
      await this.#end(rollout, 'succeeded', null)
    } catch (error) {
      if (signal.aborted) return
      await this.#fail(rollout, error)
    }
  }

  // The steps

  async #runReleaseCommand(
    rollout: Rollout,
    release: Release,
    save: Save,
    signal: AbortSignal,
  ): Promise<void> {
    const { spec } = release
    if (
      spec.release === null ||
      rollout.request.kind !== 'deploy' ||
      isStepDone(rollout, 'release')
    )
      return
    const begun = await this.#steps.begin(await this.#current(rollout), 'release', save)
    await this.#deps.images.deliver(release)
    const [process] = Object.values(spec.processes)
    if (process === undefined) throw new FairwayError('INVALID_APP_FILE', 'the app has no process')
    const result = await this.#deps.engine.runJob(
      {
        ref: release.ref,
        spec,
        process: process.name,
        release: release.number,
        image: release.image,
        argv: spec.release.command,
        env: { ...processEnv(release, process), RELEASE_COMMAND: '1' },
        secretEnv: secretEnv(release),
        ...planned(secretPlan(release, process)),
        timeoutMs: spec.release.timeoutMs,
        key: `release-${String(release.number)}`,
      },
      (line) => this.#feed.output(rollout, line.text, line.time),
      signal,
    )
    if (signal.aborted) throw signal.reason
    if (result.code !== 0) {
      throw new FairwayError(
        'RELEASE_COMMAND_FAILED',
        `the release command failed: ${result.reason}`,
        {
          details: {
            diagnosis: [`command: ${spec.release.command.join(' ')}`, ...result.lastLines],
          },
        },
      )
    }
    await this.#steps.end(begun, 'release', result.reason, save)
  }

  async #start(rollout: Rollout, release: Release, save: Save, signal: AbortSignal): Promise<void> {
    const { engine, store, clock } = this.#deps
    const current = await this.#current(rollout)
    if (isStepDone(current, 'start')) return
    const begun = await this.#steps.begin(current, 'start', save)
    await this.#deps.images.deliver(release)
    const record = await store.ensureApp(release.ref, clock.now())
    const target = await targetNow(record, store, clock.now())
    await engine.apply(target ?? desiredApp(release, record))
    const actual = await untilActual(engine, release, signal, ({ workloads }) =>
      workloads.every(({ phase }) => phase === 'routed' || phase === 'converged'),
    )
    const count = actual.workloads.reduce((sum, { ready }) => sum + ready, 0)
    await this.#steps.end(
      begun,
      'start',
      `${String(count)} ${count === 1 ? 'instance' : 'instances'} ready`,
      save,
    )
  }

  async #switch(
    rollout: Rollout,
    release: Release,
    save: Save,
    signal: AbortSignal,
  ): Promise<void> {
    const { store } = this.#deps
    const current = await this.#current(rollout)
    if (isStepDone(current, 'switch')) return
    const begun = await this.#shift(
      await this.#steps.begin(current, 'switch', save),
      release,
      save,
      signal,
    )
    if (current.previous !== null)
      await store.setReleaseStatus(release.ref, current.previous, 'superseded')
    await store.setReleaseStatus(release.ref, release.number, 'active')
    await store.setActive(release.ref, release.number)
    if (rollout.request.kind === 'rollback') await this.#restoreConfig(release)
    const from =
      current.previous === null ? 'first release' : `from release ${String(current.previous)}`
    await this.#steps.end(
      begun,
      'switch',
      `release ${String(release.number)} serves, ${from}`,
      save,
    )
  }

  /** Where two releases run at once, the new one gets the traffic before it is the one that serves. */
  async #shift(
    rollout: Rollout,
    candidate: Release,
    save: Save,
    signal: AbortSignal,
  ): Promise<Rollout> {
    const { engine, store, clock } = this.#deps
    const stable = await activeRelease(rollout.ref, store)
    if (stable === null || stable.number === candidate.number) return rollout
    if (!runsTwice({ stable, candidate })) return rollout
    const say = (line: string): void => {
      this.#feed.output(rollout, line, clock.now())
    }
    const options = { engine, store, clock, signal, save, say }
    return new TrafficShift({ stable, candidate }, options).run(rollout)
  }

  async #drain(rollout: Rollout, release: Release, save: Save, signal: AbortSignal): Promise<void> {
    const current = await this.#current(rollout)
    const old = this.#deps.engine
      .actual(release.ref)
      .workloads.reduce((sum, workload) => sum + workload.old, 0)
    const begun = await this.#steps.begin(current, 'drain', save)
    await this.#rest(rollout)
    const { workloads } = await untilActual(this.#deps.engine, release, signal, (actual) =>
      actual.workloads.every(({ phase }) => phase === 'converged'),
    )
    for (const { process, warnings = [] } of workloads)
      for (const warning of warnings)
        this.#feed.output(rollout, `  ${process}: ${warning}`, this.#deps.clock.now())
    await this.#steps.end(
      begun,
      'drain',
      old === 0 ? 'nothing to drain' : `${String(old)} old drained`,
      save,
    )
  }

  /** Names the image of the release that serves now, so that people can pull it. No reason to take a release back. */
  async #publish(release: Release): Promise<void> {
    // Files of an app alone are no image that others could run.
    if (release.image.flavour !== 'image') return
    const { images, log } = this.#deps
    try {
      await images.publish(release)
    } catch (error) {
      log.error(
        { release: release.number, app: refKey(release.ref), error: String(error) },
        'an image could not be named in the registry',
      )
    }
  }

  // How it ends

  async #fail(rollout: Rollout, error: unknown): Promise<void> {
    const { log } = this.#deps
    const failure = await this.#explain(rollout.ref, error)
    if (failure.code === 'INTERNAL')
      log.error(
        { rollout: rollout.id, error: String(error), stack: stackOf(error) },
        'rollout failed unexpectedly',
      )
    const switched = isStepDone(rollout, 'switch')
    if (rollout.release !== null && !switched) await this.#markFailed(rollout.ref, rollout.release)
    // Level-triggered way back: the target is again what serves, whatever had begun of the new release.
    await this.#rest(rollout)
    await this.#end(rollout, 'failed', failure)
  }

  /** The usual hint speaks of the release that goes on serving; the first one that fails leaves nothing. */
  async #explain(ref: AppRef, error: unknown): Promise<RolloutFailure> {
    const failure = describeFailure(error)
    const keeps = failure.code === 'ROLLOUT_FAILED' || failure.code === 'RELEASE_COMMAND_FAILED'
    if (!keeps || failure.hint !== undefined) return failure
    const serving = await activeRelease(ref, this.#deps.store)
    if (serving !== null) return failure
    return { ...failure, hint: 'No release serves yet. What is said above tells why.' }
  }

  /** Nothing of the app, where its release would have run. */
  async #nothing({ ref, release }: Rollout): Promise<DesiredApp> {
    const failed = release === null ? null : await this.#deps.store.getRelease(ref, release)
    return { ref, target: failed?.spec.target ?? null, workloads: [] }
  }

  /** A release that served before and was on its way back is not a failed one. */
  async #markFailed(ref: AppRef, number: number): Promise<void> {
    const { store } = this.#deps
    const release = await store.getRelease(ref, number)
    if (release?.status === 'pending') await store.setReleaseStatus(ref, number, 'failed')
  }

  /** The target is what serves, and what is kept warm beside it. */
  async #rest(rollout: Rollout): Promise<void> {
    const { store, engine, clock } = this.#deps
    const record = await store.getApp(rollout.ref)
    const target = record === null ? null : await restingTarget(record, store, clock.now())
    await engine.apply(target ?? (await this.#nothing(rollout)))
  }

  async #end(
    rollout: Rollout,
    status: 'succeeded' | 'failed',
    failure: RolloutFailure | null,
  ): Promise<void> {
    const { store, clock } = this.#deps
    const current = await this.#current(rollout)
    const ended = withEnd(current, status, clock.now(), failure)
    await store.saveRollout(ended)
    // Nobody waits for it: the rollout has ended.
    void this.#deps.audit.note(endedEvent(ended))
    for (const step of ended.steps) {
      const before = current.steps.find(({ name }) => name === step.name)
      if (before?.status === 'running') this.#feed.step(ended, step, clock.now())
    }
    const active = await activeRelease(rollout.ref, store)
    this.#feed.end(
      ended,
      active === null ? [] : urlsOf(active.spec, rollout.ref, this.#deps),
      clock.now(),
    )
  }

  /** Rolling back brings the configuration of that release back too; what was set since is gone, as people expect of a way back. */
  async #restoreConfig(release: Release): Promise<void> {
    const { store } = this.#deps
    const record = await store.getApp(release.ref)
    if (record === null) return
    const gone = Object.keys(record.config).filter((key) => !(key in release.config))
    const changes = { ...Object.fromEntries(gone.map((key) => [key, null])), ...release.config }
    const same = Object.entries(changes).every(
      ([key, value]) => record.config[key] === (value ?? undefined),
    )
    if (!same) await store.setConfig(release.ref, changes)
  }

  // Bookkeeping

  async #current(rollout: Rollout): Promise<Rollout> {
    return (await this.#deps.store.getRollout(rollout.ref, rollout.id)) ?? rollout
  }
}

function endedEvent(rollout: Rollout): AuditEvent {
  const { id, ref, request, release, previous, status, failure } = rollout
  return {
    actor: SYSTEM,
    action: 'rollout:ended',
    outcome: status === 'succeeded' ? 'done' : 'failed',
    app: ref.app,
    environment: ref.environment,
    target: `rollout ${id}`,
    reason: failure?.code ?? null,
    // What failed left the previous release serving, or brought it back.
    facts: { kind: request.kind, release, previous, by: rollout.createdBy },
  }
}

/** An error as people following the rollout see it. */
export function describeFailure(error: unknown): RolloutFailure {
  if (!(error instanceof FairwayError))
    return {
      code: 'INTERNAL',
      message: 'an unexpected error; the server’s log has it',
      diagnosis: [],
    }
  const { diagnosis } = error.details
  const lines = Array.isArray(diagnosis) ? diagnosis.map(String) : []
  const { code, message, hint } = error
  return { code, message, ...(hint === ERRORS[code].hint ? {} : { hint }), diagnosis: lines }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? '') : ''
}
