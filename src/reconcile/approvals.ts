import { likeness } from '../lib/likeness.ts'
import { KeyedMutex } from '../lib/mutex.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { Rollout, RolloutFailure } from '../model/release.ts'
import type { ReconcileDeps } from './deps.ts'
import { withEnd, withStepBegun, withStepEnded } from './rollout.ts'
import type { RolloutFeed } from './rollout-feed.ts'

export type Verdict = 'approve' | 'refuse'

/** Who approves or refuses. */
export interface Judge {
  readonly id: string
  readonly name: string
}

/**
 * Rollouts that wait for a second person. The record in the store is what waits, so a restart loses nothing; memory holds only who must be
 * told and when the time is over. Changes of one rollout come one at a time.
 */
export class Approvals {
  readonly #deps: ReconcileDeps
  readonly #feed: RolloutFeed
  readonly #closing: AbortSignal
  readonly #mutex = new KeyedMutex()
  readonly #waiting = new Map<
    string,
    { readonly rollout: Rollout; readonly over: AbortController }
  >()

  constructor(deps: ReconcileDeps, feed: RolloutFeed, closing: AbortSignal) {
    this.#deps = deps
    this.#feed = feed
    this.#closing = closing
  }

  /** Begins the step where it has not begun, and ends the rollout when its time is over; resolves when it waits no more. */
  async wait(rollout: Rollout): Promise<void> {
    const { clock } = this.#deps
    const over = new AbortController()
    this.#waiting.set(rollout.id, { rollout, over })
    try {
      const begun = await this.#begin(rollout)
      if (begun === null) return
      const left = (begun.approval?.expiresAt ?? 0) - clock.now()
      const until = AbortSignal.any([over.signal, this.#closing])
      const slept = await clock.sleep(Math.max(0, left), until).then(
        () => true,
        () => false,
      )
      if (!slept || until.aborted) return
      await this.end(begun, 'failed', {
        code: 'APPROVAL_EXPIRED',
        message: 'nobody approved it in time',
        diagnosis: [],
      })
    } finally {
      this.#waiting.delete(rollout.id)
    }
  }

  /** @throws FairwayError CONFLICT where it does not wait, FORBIDDEN where the asker approves */
  async judge({ ref, id }: Rollout, verdict: Verdict, by: Judge): Promise<Rollout> {
    return await this.#alone(id, async () => {
      const { store, clock } = this.#deps
      const waiting = await store.getRollout(ref, id)
      if (waiting?.status !== 'waiting' || waiting.approval === null) {
        throw new FairwayError('CONFLICT', `rollout ${id} does not wait for approval`)
      }
      if (verdict === 'refuse') {
        return await this.#end(waiting, 'failed', {
          code: 'APPROVAL_REFUSED',
          message: `${by.name} refused it`,
          diagnosis: [],
        })
      }
      if (isAsker(waiting, by)) {
        throw new FairwayError('FORBIDDEN', 'nobody approves what they asked for themselves', {
          hint: 'Another person with the role operator or admin there can.',
        })
      }
      if (waiting.approval.expiresAt <= clock.now()) {
        throw new FairwayError('CONFLICT', 'its time for approval is over')
      }
      const summary = `approved by ${by.name}`
      const done = withStepEnded(waiting, 'approve', { status: 'done', summary, now: clock.now() })
      const approval = { ...waiting.approval, approvedBy: by.name }
      const approved: Rollout = { ...done, status: 'queued', approval }
      await store.saveRollout(approved)
      this.#tellStep(approved)
      this.#waiting.get(id)?.over.abort()
      return approved
    })
  }

  /** Ends it, unless it has been judged meanwhile. */
  async end(
    { ref, id }: Rollout,
    status: 'failed' | 'superseded',
    failure: RolloutFailure,
  ): Promise<void> {
    await this.#alone(id, async () => {
      const current = await this.#deps.store.getRollout(ref, id)
      if (current?.status === 'waiting') await this.#end(current, status, failure)
    })
  }

  /** The records of this app go: those who follow are told by `tell`. */
  forget(ref: AppRef, tell: (rollout: Rollout) => void): void {
    for (const { rollout, over } of this.#waiting.values()) {
      if (refKey(rollout.ref) !== refKey(ref)) continue
      over.abort()
      tell(rollout)
    }
  }

  /** Null where it waits no more. */
  async #begin({ ref, id }: Rollout): Promise<Rollout | null> {
    return await this.#alone(id, async () => {
      const { store, clock } = this.#deps
      const current = await store.getRollout(ref, id)
      if (current?.status !== 'waiting') return null
      if (current.steps.some(({ name }) => name === 'approve')) return current
      const begun: Rollout = {
        ...withStepBegun(current, 'approve', clock.now()),
        status: 'waiting',
      }
      await store.saveRollout(begun)
      this.#tellStep(begun)
      this.#feed.output(begun, howToApprove(begun), clock.now())
      return begun
    })
  }

  async #end(
    waiting: Rollout,
    status: 'failed' | 'superseded',
    failure: RolloutFailure,
  ): Promise<Rollout> {
    const { store, clock } = this.#deps
    const ended = withEnd(waiting, status, clock.now(), failure)
    await store.saveRollout(ended)
    this.#tellStep(ended)
    this.#feed.end(ended, [], clock.now())
    this.#waiting.get(waiting.id)?.over.abort()
    return ended
  }

  #tellStep(rollout: Rollout): void {
    const step = rollout.steps.find(({ name }) => name === 'approve')
    if (step !== undefined) this.#feed.step(rollout, step, this.#deps.clock.now())
  }

  #alone<T>(id: string, task: () => Promise<T>): Promise<T> {
    return this.#mutex.run(id, task)
  }
}

/** The same person may have several tokens, and a login beside: a name that could be taken for the asker's is theirs. */
function isAsker({ approval, createdBy }: Rollout, by: Judge): boolean {
  return approval?.askedBy === by.id || likeness(createdBy) === likeness(by.name)
}

function howToApprove({ id, ref }: Rollout): string {
  return `waits for another person: fairway approve ${id} --app ${ref.app} --env ${ref.environment}`
}
