import type { Rollout, RolloutFailure, StepName, StepRecord } from '../model/release.ts'

/** Pure changes of a rollout record; each returns a new one. */

export function withStepBegun(rollout: Rollout, name: StepName, now: number): Rollout {
  const step: StepRecord = { name, status: 'running', startedAt: now, endedAt: null, summary: '' }
  return {
    ...rollout,
    status: 'running',
    steps: [...rollout.steps.filter((other) => other.name !== name), step],
  }
}

export function withStepEnded(
  rollout: Rollout,
  name: StepName,
  ended: {
    readonly status: 'done' | 'skipped' | 'failed'
    readonly summary: string
    readonly now: number
  },
): Rollout {
  const { status, summary, now } = ended
  return {
    ...rollout,
    steps: rollout.steps.map((step) =>
      step.name === name ? { ...step, status, summary, endedAt: now } : step,
    ),
  }
}

export function withEnd(
  rollout: Rollout,
  status: 'succeeded' | 'failed' | 'superseded',
  now: number,
  failure: RolloutFailure | null = null,
): Rollout {
  const steps = rollout.steps.map((step) =>
    step.status === 'running'
      ? {
          ...step,
          status: status === 'succeeded' ? ('done' as const) : ('failed' as const),
          endedAt: now,
        }
      : step,
  )
  return { ...rollout, status, steps, failure, endedAt: now }
}

export function isStepDone(rollout: Rollout, name: StepName): boolean {
  return rollout.steps.some(
    (step) => step.name === name && (step.status === 'done' || step.status === 'skipped'),
  )
}

export function isEnded(rollout: Rollout): boolean {
  return (
    rollout.status === 'succeeded' || rollout.status === 'failed' || rollout.status === 'superseded'
  )
}
