import { DURATION_BOUNDS, type ServedCounts } from '../model/traffic.ts'

export interface CountersView {
  /** Requests by first digit of the status; `aborted` are those whose client left first. */
  readonly requests: {
    readonly '1xx': number
    readonly '2xx': number
    readonly '3xx': number
    readonly '4xx': number
    readonly '5xx': number
    readonly aborted: number
  }
  /** How many took at most `DURATION_BOUNDS[i]` ms and more than the bound before; one more bucket for the rest. */
  readonly durations: readonly number[]
  readonly durationSumMs: number
  readonly inflight: number
  readonly retries: number
  readonly held: number
}

/** What happened to the requests of one service since the router started. */
export class Counters {
  readonly #classes = [0, 0, 0, 0, 0, 0]
  readonly #durations: number[] = new Array<number>(DURATION_BOUNDS.length + 1).fill(0)
  #sum = 0
  #inflight = 0
  #retries = 0
  #held = 0

  started(): void {
    this.#inflight++
  }

  retried(): void {
    this.#retries++
  }

  held(): void {
    this.#held++
  }

  /** `status` 0 = the client left before an answer. */
  finished(status: number, durationMs: number): void {
    this.#inflight--
    const digit = Math.floor(status / 100)
    this.#classes[digit] = (this.#classes[digit] ?? 0) + 1
    const bucket = bucketOf(durationMs)
    this.#durations[bucket] = (this.#durations[bucket] ?? 0) + 1
    this.#sum += durationMs
  }

  view(): CountersView {
    const [aborted = 0, one = 0, two = 0, three = 0, four = 0, five = 0] = this.#classes
    return {
      requests: { '1xx': one, '2xx': two, '3xx': three, '4xx': four, '5xx': five, aborted },
      durations: [...this.#durations],
      durationSumMs: this.#sum,
      inflight: this.#inflight,
      retries: this.#retries,
      held: this.#held,
    }
  }
}

/** What happened to the requests that one target answered or failed, since the router knows it. */
export class TargetCounters {
  #requests = 0
  #failures = 0
  readonly #durations: number[] = new Array<number>(DURATION_BOUNDS.length + 1).fill(0)

  /** `status` 0 = the client left before an answer: it says nothing about the target. */
  finished(status: number, durationMs: number): void {
    if (status === 0) return
    this.#requests++
    if (status >= 500) this.#failures++
    const bucket = bucketOf(durationMs)
    this.#durations[bucket] = (this.#durations[bucket] ?? 0) + 1
  }

  view(): ServedCounts {
    return {
      requests: this.#requests,
      failures: this.#failures,
      durations: [...this.#durations],
    }
  }
}

function bucketOf(durationMs: number): number {
  let bucket = 0
  while (bucket < DURATION_BOUNDS.length && durationMs > (DURATION_BOUNDS[bucket] ?? 0)) bucket++
  return bucket
}
