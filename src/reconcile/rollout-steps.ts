import type { Clock } from '../model/clock.ts'
import type { Rollout, StepName } from '../model/release.ts'
import { withStepBegun, withStepEnded } from './rollout.ts'
import type { RolloutFeed } from './rollout-feed.ts'

/** Keeps a changed rollout. */
export type Save = (rollout: Rollout) => Promise<void>

/** Begins and ends the steps of rollouts: kept first, then told to those who follow. */
export class RolloutSteps {
  readonly #clock: Clock
  readonly #feed: RolloutFeed

  constructor(clock: Clock, feed: RolloutFeed) {
    this.#clock = clock
    this.#feed = feed
  }

  async begin(rollout: Rollout, name: StepName, save: Save): Promise<Rollout> {
    const begun = withStepBegun(rollout, name, this.#clock.now())
    await save(begun)
    this.#announce(begun, name)
    return begun
  }

  async end(rollout: Rollout, name: StepName, summary: string, save: Save): Promise<Rollout> {
    const ended = withStepEnded(rollout, name, {
      status: 'done',
      summary,
      now: this.#clock.now(),
    })
    await save(ended)
    this.#announce(ended, name)
    return ended
  }

  #announce(rollout: Rollout, name: StepName): void {
    const step = rollout.steps.find((candidate) => candidate.name === name)
    if (step !== undefined) this.#feed.step(rollout, step, this.#clock.now())
  }
}
