import { KeyedMutex } from '../lib/mutex.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceId } from '../model/instance.ts'
import type { LogQuery } from '../model/logs.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type {
  Actor,
  AppPlan,
  AppStatus,
  Platform,
  RolloutEvent,
  RunRequest,
} from '../model/platform.ts'
import type { DeployInput, Release, Rollout } from '../model/release.ts'
import type { ExecRequest, ExecSession, LogLine } from '../model/runner.ts'
import type { SecretDocument } from '../model/secrets.ts'
import type { AppRecord } from '../model/store.ts'
import { activeRelease, readApp, urlsOf } from './app-planner.ts'
import { checkConfig } from './config-limit.ts'
import { collectGarbage, type CollectOptions } from './collect.ts'
import type { Judge, Verdict } from './approvals.ts'
import type { ReconcileDeps } from './deps.ts'
import { desiredApp, planned, processEnv, secretEnv, secretPlan } from './desired.ts'
import { rotateChosen } from './generated.ts'
import { RolloutFeed } from './rollout-feed.ts'
import { plannedNotes } from './planned-notes.ts'
import { rollbackTarget } from './rollback-target.ts'
import { checkSecrets, namedDocuments, secretChanges } from './secret-files.ts'
import { RolloutQueue } from './rollout-queue.ts'
import { keptRelease, targetNow, targetsNow } from './target-now.ts'

const ROLLOUTS_SCANNED = 50

/** The use cases over the ports. `open()` goes on where the last server stopped; `close()` leaves everything for the next. */
export class ReconcilingPlatform implements Platform {
  readonly #deps: ReconcileDeps
  readonly #collect: CollectOptions
  readonly #feed = new RolloutFeed()
  readonly #queue: RolloutQueue
  readonly #collecting = new KeyedMutex()
  readonly #closing = new AbortController()

  constructor(deps: ReconcileDeps, collect: CollectOptions) {
    this.#deps = deps
    this.#collect = collect
    this.#queue = new RolloutQueue(deps, this.#feed, this.#closing.signal, (ref) => {
      this.#endKeepingLater(ref)
    })
  }

  /** Tells the engine what should run before it looks at what does; then goes on with rollouts and removals that were under way. */
  async open(): Promise<void> {
    const { store, engine } = this.#deps
    const unfinished = await store.listUnfinishedRollouts()
    for (const record of await store.listApps()) {
      const targets = record.deleting ? [] : await targetsNow(record, store, this.#deps.clock.now())
      for (const target of targets) await engine.apply(target)
    }
    await this.#failAbandoned(unfinished)
    await engine.open()
    for (const record of await store.listApps())
      if (record.deleting) this.#queue.inBackground(this.#remove(record.ref))
    for (const rollout of unfinished) this.#queue.enqueue(rollout)
    for (const record of await store.listApps()) this.#endKeepingLater(record.ref)
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the server stops'))
    await this.#queue.idle()
  }

  // Changing

  async plan(ref: AppRef, input: DeployInput): Promise<AppPlan> {
    const { reader, store, engine, secrets } = this.#deps
    const { spec, recognition, warnings } = await readApp(ref, input, this.#deps)
    const before = await activeRelease(ref, store)
    const record = await store.getApp(ref)
    const notes = await plannedNotes(ref, spec, before, record, engine)
    const documents = namedDocuments(spec, input.secrets)
    const after = { spec, config: record?.config ?? {}, secrets: documents }
    await checkSecrets(ref, after, secrets)
    const changes = [
      ...reader.diff(before?.spec ?? null, spec),
      ...(await secretChanges(ref, { before, after }, secrets)),
    ]
    return { ref, spec, recognition, warnings: [...warnings, ...notes], changes }
  }

  async deploy(ref: AppRef, input: DeployInput, actor: Actor): Promise<Rollout> {
    await this.#refuseDeleting(ref)
    const { spec } = await readApp(ref, input, this.#deps)
    const { store, secrets } = this.#deps
    const config = (await store.getApp(ref))?.config ?? {}
    const documents = namedDocuments(spec, input.secrets)
    await checkSecrets(ref, { spec, config, secrets: documents }, secrets)
    return this.#queue.add(ref, { kind: 'deploy', ...input }, actor)
  }

  async environmentKey(ref: AppRef): Promise<{ readonly recipient: string }> {
    await this.#refuseDeleting(ref)
    return { recipient: await this.#deps.keys.recipient(ref) }
  }

  async pushSecrets(
    ref: AppRef,
    documents: readonly SecretDocument[],
    actor: Actor,
  ): Promise<Rollout | null> {
    await this.#existing(ref)
    await this.#refuseDeleting(ref)
    const before = await this.#running(ref)
    const { secrets } = this.#deps
    const after = { ...before, secrets: namedDocuments(before.spec, documents) }
    await checkSecrets(ref, after, secrets)
    if ((await secretChanges(ref, { before, after }, secrets)).length === 0) return null
    return this.#queue.add(ref, { kind: 'secrets', documents }, actor)
  }

  async rotateGenerated(ref: AppRef, names: readonly string[]): Promise<readonly string[]> {
    await this.#existing(ref)
    await this.#refuseDeleting(ref)
    return rotateChosen(ref, await this.#running(ref), names, this.#deps.generated)
  }

  async rollback(ref: AppRef, to: number | null, actor: Actor): Promise<Rollout> {
    await this.#existing(ref)
    await this.#refuseDeleting(ref)
    const target = await rollbackTarget(await this.#running(ref), to, this.#deps.store)
    return this.#queue.add(ref, { kind: 'rollback', to: target.number }, actor)
  }

  async setConfig(
    ref: AppRef,
    changes: Readonly<Record<string, string | null>>,
    actor: Actor,
  ): Promise<Rollout | null> {
    const { store, clock } = this.#deps
    await this.#refuseDeleting(ref)
    const { config } = await store.ensureApp(ref, clock.now())
    checkConfig(ref, { ...config, ...changes })
    const record = await store.setConfig(ref, changes)
    if (record.active === null) return null
    const names = (keep: boolean): string[] =>
      Object.keys(changes).filter((key) => (changes[key] !== null) === keep)
    const parts = [
      names(true).length > 0 ? `env set ${names(true).join(', ')}` : '',
      names(false).length > 0 ? `env unset ${names(false).join(', ')}` : '',
    ]
    return this.#queue.add(
      ref,
      { kind: 'config', summary: parts.filter((part) => part !== '').join('; ') },
      actor,
    )
  }

  async judge(ref: AppRef, id: string, verdict: Verdict, by: Judge): Promise<Rollout> {
    await this.#refuseDeleting(ref)
    return this.#queue.judge(await this.rollout(ref, id), verdict, by)
  }

  async scale(ref: AppRef, changes: Readonly<Record<string, number | null>>): Promise<AppRecord> {
    const { store, engine } = this.#deps
    const before = await this.#existing(ref)
    await this.#refuseDeleting(ref)
    const release = await this.#running(ref)
    for (const [process, count] of Object.entries(changes)) {
      const spec = Object.values(release.spec.processes).find(({ name }) => name === process)
      if (spec === undefined) {
        const known = Object.keys(release.spec.processes).join(', ')
        throw new FairwayError(
          'NOT_FOUND',
          `${refKey(ref)} has no process ${process}; it has ${known}`,
        )
      }
      if (count !== null && spec.type === 'cron') {
        throw new FairwayError(
          'INVALID_REQUEST',
          `${process} runs at its times (${spec.schedule?.cron ?? ''}) and has no scale`,
        )
      }
      if (count !== null && count > 0 && spec.strategy === 'recreate' && count > spec.scale.max) {
        throw new FairwayError(
          'INVALID_REQUEST',
          `${process} runs at most ${String(spec.scale.max)} times`,
        )
      }
    }
    const record = await store.setScale(ref, changes)
    await engine.apply(
      (await targetNow(record, store, this.#deps.clock.now())) ?? desiredApp(release, record),
    )
    return { ...before, ...record }
  }

  async destroy(ref: AppRef): Promise<void> {
    await this.#existing(ref)
    await this.#deps.store.setDeleting(ref)
    this.#queue.abort(ref, 'the app is being destroyed')
    const removal = this.#remove(ref)
    this.#queue.inBackground(removal)
    await removal
  }

  // Looking

  async *events(ref: AppRef, id: string, signal: AbortSignal): AsyncIterable<RolloutEvent> {
    const rollout = await this.rollout(ref, id)
    const active = await activeRelease(ref, this.#deps.store)
    const urls = active === null ? [] : urlsOf(active.spec, ref, this.#deps)
    yield* this.#feed.read(rollout, urls, AbortSignal.any([signal, this.#closing.signal]))
  }

  async list(sees: (ref: AppRef) => boolean): Promise<readonly AppStatus[]> {
    const records = (await this.#deps.store.listApps()).filter(({ ref }) => sees(ref))
    return Promise.all(records.map((record) => this.#statusOf(record)))
  }

  async status(ref: AppRef): Promise<AppStatus> {
    return this.#statusOf(await this.#existing(ref))
  }

  async *watch(ref: AppRef, signal: AbortSignal): AsyncIterable<AppStatus> {
    await this.#existing(ref)
    const until = AbortSignal.any([signal, this.#closing.signal])
    for await (const { instances } of this.#deps.engine.watch(ref, until)) {
      const record = await this.#deps.store.getApp(ref)
      if (record === null) return
      yield { ...(await this.#statusOf(record)), instances }
    }
  }

  async releases(ref: AppRef, limit: number): Promise<readonly Release[]> {
    await this.#existing(ref)
    return this.#deps.store.listReleases(ref, limit)
  }

  async rollouts(ref: AppRef, limit: number): Promise<readonly Rollout[]> {
    await this.#existing(ref)
    return this.#deps.store.listRollouts(ref, limit)
  }

  async rollout(ref: AppRef, id: string): Promise<Rollout> {
    const rollout = await this.#deps.store.getRollout(ref, id)
    if (rollout !== null) return rollout
    throw new FairwayError('NOT_FOUND', `${refKey(ref)} has no rollout ${id}`)
  }

  async *logs(ref: AppRef, query: LogQuery, signal: AbortSignal): AsyncIterable<LogLine> {
    await this.#existing(ref)
    yield* this.#deps.logs.read(ref, query, AbortSignal.any([signal, this.#closing.signal]))
  }

  async run(
    ref: AppRef,
    request: RunRequest,
    onLine: (line: LogLine) => void,
    signal: AbortSignal,
  ): Promise<{ readonly code: number | null; readonly reason: string }> {
    await this.#existing(ref)
    const release = await this.#running(ref)
    const processes = Object.values(release.spec.processes)
    const target =
      request.process === null
        ? processes[0]
        : processes.find(({ name }) => name === request.process)
    if (target === undefined)
      throw new FairwayError('NOT_FOUND', `${refKey(ref)} has no process ${request.process ?? ''}`)
    const { code, reason } = await this.#deps.engine.runJob(
      {
        ref,
        spec: release.spec,
        process: target.name,
        release: release.number,
        image: release.image,
        argv: request.argv,
        env: processEnv(release, target),
        secretEnv: secretEnv(release),
        ...planned(secretPlan(release, target)),
        timeoutMs: request.timeoutMs,
        key: `run-${this.#deps.randomId()}`,
        once: true,
      },
      onLine,
      signal,
    )
    return { code, reason }
  }

  async exec(ref: AppRef, instance: InstanceId, request: ExecRequest): Promise<ExecSession> {
    await this.#existing(ref)
    return this.#deps.engine.exec(ref, instance, request)
  }

  collect(): Promise<{ readonly bytes: number; readonly summary: string }> {
    return this.#collecting.run('', () => collectGarbage(this.#deps, this.#collect))
  }

  async #remove(ref: AppRef): Promise<void> {
    await this.#queue.exclusively(ref, async () => {
      const { engine, images, logs, store } = this.#deps
      await engine.remove(ref)
      await logs.deleteApp(ref)
      await images.withdraw(ref, null)
      await store.deleteApp(ref)
    })
  }

  // Private: what a restart finds

  /** A release whose rollout was lost between two transactions never serves. */
  async #failAbandoned(unfinished: readonly Rollout[]): Promise<void> {
    const { store } = this.#deps
    const wanted = new Set(
      unfinished.map(({ ref, release }) => `${refKey(ref)} ${String(release)}`),
    )
    for (const release of await store.listAllReleases()) {
      if (
        release.status !== 'pending' ||
        wanted.has(`${refKey(release.ref)} ${String(release.number)}`)
      )
        continue
      await store.setReleaseStatus(release.ref, release.number, 'failed')
    }
  }

  /**
   * When the time of the release that a bluegreen rollout keeps ready is over, it goes; also where that time ended before this was called: the engine may
   * have been told of it before.
   */
  #endKeepingLater(ref: AppRef): void {
    const { store, clock, engine } = this.#deps
    const ended = async (): Promise<void> => {
      const active = await activeRelease(ref, store)
      const kept = active === null ? null : await keptRelease(active, store)
      if (kept === null) return
      await clock.sleep(Math.max(0, kept.until - clock.now()), this.#closing.signal)
      await this.#queue.exclusively(ref, async () => {
        const record = await store.getApp(ref)
        if (record === null || record.deleting) return
        // A timer may fire a little before its time by the clock.
        const target = await targetNow(record, store, Math.max(clock.now(), kept.until))
        if (target !== null) await engine.apply(target)
      })
    }
    this.#queue.inBackground(ended())
  }

  // Private: lookups

  async #existing(ref: AppRef): Promise<AppRecord> {
    const record = await this.#deps.store.getApp(ref)
    if (record === null) throw new FairwayError('NOT_FOUND', `there is no app ${refKey(ref)}`)
    return record
  }

  async #refuseDeleting(ref: AppRef): Promise<void> {
    const record = await this.#deps.store.getApp(ref)
    if (record?.deleting === true)
      throw new FairwayError('CONFLICT', `${refKey(ref)} is being destroyed`)
  }

  async #running(ref: AppRef): Promise<Release> {
    const release = await activeRelease(ref, this.#deps.store)
    if (release === null)
      throw new FairwayError('NOT_RUNNING', `${refKey(ref)} has no release yet`, {
        hint: 'Deploy it first.',
      })
    return release
  }

  async #statusOf(record: AppRecord): Promise<AppStatus> {
    const { engine, store } = this.#deps
    const { ref } = record
    const release = await activeRelease(ref, store)
    const [rollout] = await store.listRollouts(ref, ROLLOUTS_SCANNED)
    return {
      record,
      release,
      rollout: rollout ?? null,
      instances: engine.actual(ref).instances,
      usage: await engine.usage(ref),
      urls: release === null ? [] : urlsOf(release.spec, ref, this.#deps),
    }
  }
}
