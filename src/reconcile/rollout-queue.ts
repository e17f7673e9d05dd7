import { KeyedMutex } from '../lib/mutex.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { Actor } from '../model/platform.ts'
import type { Rollout, RolloutFailure, RolloutRequest } from '../model/release.ts'
import { Approvals, type Judge, type Verdict } from './approvals.ts'
import type { ReconcileDeps } from './deps.ts'
import { isEnded, withEnd } from './rollout.ts'
import type { RolloutFeed } from './rollout-feed.ts'
import { describeFailure, RolloutRunner } from './rollout-runner.ts'

const DESTROYED: RolloutFailure = {
  code: 'CONFLICT',
  message: 'the app was destroyed before this ended',
  diagnosis: [],
}
const INTERRUPTED: RolloutFailure = {
  code: 'INTERNAL',
  message: 'its end could not be stored; a newer one took over',
  diagnosis: [],
}

interface Turn {
  /** Of the rollout. */
  readonly id: string
  /** Ends it where the app is destroyed. */
  readonly abort: AbortController
}

/** One rollout at a time per app; different apps do not wait for each other. The store holds the queue, memory only who works on it. */
export class RolloutQueue {
  readonly #deps: ReconcileDeps
  readonly #feed: RolloutFeed
  readonly #runner: RolloutRunner
  readonly #approvals: Approvals
  readonly #closing: AbortSignal
  readonly #ended: (ref: AppRef) => void
  readonly #mutex = new KeyedMutex()
  /** Whose turn it is, by app. */
  readonly #turns = new Map<string, Turn>()
  readonly #work = new Set<Promise<void>>()

  /** `ended` hears of every app of which a rollout has ended. */
  constructor(
    deps: ReconcileDeps,
    feed: RolloutFeed,
    closing: AbortSignal,
    ended: (ref: AppRef) => void,
  ) {
    this.#ended = ended
    this.#deps = deps
    this.#feed = feed
    this.#runner = new RolloutRunner(deps, feed)
    this.#closing = closing
    this.#approvals = new Approvals(deps, feed, closing)
  }

  /** The newest wins: what still waits for its turn is superseded by what comes now; what already runs is finished first. */
  async add(ref: AppRef, request: RolloutRequest, actor: Actor): Promise<Rollout> {
    const { store, clock, randomId } = this.#deps
    const now = clock.now()
    const { waitsMs } = actor
    await store.ensureApp(ref, now)
    const rollout: Rollout = {
      id: `${String(now)}-${randomId()}`,
      ref,
      release: null,
      previous: null,
      request,
      status: waitsMs === null ? 'queued' : 'waiting',
      steps: [],
      share: 0,
      failure: null,
      createdAt: now,
      endedAt: null,
      createdBy: actor.name,
      approval:
        waitsMs === null ? null : { askedBy: actor.id, expiresAt: now + waitsMs, approvedBy: null },
    }
    await store.addRollout(rollout)
    this.enqueue(rollout)
    // Only now: a server that dies in between has both, and the newer one still comes last.
    const superseding = this.#supersedeWaiting(rollout)
    this.inBackground(superseding)
    await superseding.catch(() => undefined)
    return rollout
  }

  /** Takes its turn, or waits for its approval first; a record that ended meanwhile is left alone. */
  enqueue(rollout: Rollout): void {
    if (rollout.status === 'waiting') {
      this.inBackground(this.#approvals.wait(rollout))
      return
    }
    const key = refKey(rollout.ref)
    const turn = async (): Promise<void> => {
      const mine: Turn = { id: rollout.id, abort: new AbortController() }
      this.#turns.set(key, mine)
      try {
        await this.#take(rollout, mine.abort.signal)
      } finally {
        this.#turns.delete(key)
      }
    }
    const told = this.#mutex.run(key, turn).catch((error: unknown) => {
      // Whoever follows it must not wait for an end that no record can tell of, as with a full disk.
      if (!this.#closing.aborted) this.#tell(rollout, describeFailure(error))
      throw error
    })
    this.inBackground(told)
  }

  /** @throws what `Platform.judge` throws */
  async judge(rollout: Rollout, verdict: Verdict, by: Judge): Promise<Rollout> {
    const judged = await this.#approvals.judge(rollout, verdict, by)
    if (judged.status === 'queued') {
      this.enqueue(judged)
      const superseding = this.#supersedeWaiting(judged)
      this.inBackground(superseding)
      await superseding.catch(() => undefined)
    }
    return judged
  }

  /** Runs a task of this app when no rollout of it runs. */
  exclusively<T>(ref: AppRef, task: () => Promise<T>): Promise<T> {
    return this.#mutex.run(refKey(ref), task)
  }

  /** Stops what runs for this app; its record stays as it is. */
  abort(ref: AppRef, why: string): void {
    this.#turns.get(refKey(ref))?.abort.abort(new Error(why))
    this.#approvals.forget(ref, (rollout) => this.#tell(rollout, DESTROYED))
  }

  inBackground(work: Promise<unknown>): void {
    const quiet = work.then(
      () => undefined,
      (error: unknown) => {
        if (this.#closing.aborted) return
        this.#deps.log.error({ error: String(error) }, 'background work failed')
      },
    )
    this.#work.add(quiet)
    void quiet.finally(() => this.#work.delete(quiet))
  }

  async idle(): Promise<void> {
    await Promise.allSettled(this.#work)
  }

  async #take(rollout: Rollout, destroyed: AbortSignal): Promise<void> {
    const { store } = this.#deps
    const current = await store.getRollout(rollout.ref, rollout.id)
    if (this.#closing.aborted || (current !== null && isEnded(current))) return
    const record = await store.getApp(rollout.ref)
    if (current === null || record === null || record.deleting) {
      this.#tell(rollout, DESTROYED)
      return
    }
    await this.#endForgotten(current)
    if (!destroyed.aborted) {
      await this.#runner.run(current, AbortSignal.any([destroyed, this.#closing]))
      this.#ended(rollout.ref)
    }
    if (destroyed.aborted) this.#tell(current, DESTROYED)
  }

  /** Ends it for those who follow it; for its record there is no place any more. */
  #tell(rollout: Rollout, failure: RolloutFailure): void {
    const now = this.#deps.clock.now()
    this.#feed.end(withEnd(rollout, 'failed', now, failure), [], now)
  }

  /** An older rollout whose end could not be stored: nobody works on it, and at the next start it would undo this one. */
  async #endForgotten(current: Rollout): Promise<void> {
    const { store, clock } = this.#deps
    for (const older of await this.#unfinishedBefore(current)) {
      if (older.status === 'running')
        await store.saveRollout(withEnd(older, 'failed', clock.now(), INTERRUPTED))
    }
  }

  async #supersedeWaiting(by: Rollout): Promise<void> {
    for (const older of await this.#unfinishedBefore(by)) {
      const hasBegun = this.#turns.get(refKey(older.ref))?.id === older.id
      // What has been approved is not lost to what may never be.
      const gives =
        older.status === 'waiting' || (older.status === 'queued' && by.status === 'queued')
      if (gives && !hasBegun) await this.#supersede(older, by.request)
    }
  }

  /** Of the same app, oldest first: the order in which they were stored, whatever the clock said. */
  async #unfinishedBefore(rollout: Rollout): Promise<readonly Rollout[]> {
    const mine = (await this.#deps.store.listUnfinishedRollouts()).filter(
      ({ ref }) => refKey(ref) === refKey(rollout.ref),
    )
    const position = mine.findIndex(({ id }) => id === rollout.id)
    return mine.slice(0, Math.max(0, position))
  }

  /** Only a deploy or a rollback replaces a waiting deploy: a change of configuration would lose the new version. */
  async #supersede(waiting: Rollout, by: RolloutRequest): Promise<void> {
    if (by.kind === 'config' && waiting.request.kind !== 'config') return
    const failure: RolloutFailure = {
      code: 'SUPERSEDED',
      message: 'a newer one took over before this began',
      diagnosis: [],
    }
    if (waiting.status === 'waiting') {
      await this.#approvals.end(waiting, 'superseded', failure)
      return
    }
    const { store, clock } = this.#deps
    const ended = withEnd(waiting, 'superseded', clock.now(), failure)
    await store.saveRollout(ended)
    this.#feed.end(ended, [], clock.now())
  }
}
