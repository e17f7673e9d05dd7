import type { ReleaseTraffic } from '../model/engine.ts'
import { DURATION_BOUNDS, type ServedCounts } from '../model/traffic.ts'

/** What a candidate must hold. */
export interface CanaryLimits {
  /** Share of failed requests, 0 to 1. */
  readonly maxErrorRate: number
  /** Milliseconds; null = latency is not judged. */
  readonly p95Ms: number | null
  /** Fewer requests than this in the period say nothing. */
  readonly minRequests: number
}

export interface CanaryPeriod {
  readonly candidate: ServedCounts
  readonly stable: ServedCounts
}

/** `hold` = too little traffic to say: neither on nor back. */
export interface CanaryVerdict {
  readonly verdict: 'pass' | 'fail' | 'hold'
  /** For people: '2 of 140 requests failed (1.4 %), p95 at most 50 ms'. */
  readonly reason: string
}

const NOTHING: ServedCounts = {
  requests: 0,
  failures: 0,
  durations: new Array<number>(DURATION_BOUNDS.length + 1).fill(0),
}

/**
 * Pure: judges a candidate by what it served in a period, beside the stable release in the same period. A candidate beyond a limit fails only where it is
 * worse than stable as well: what is wrong with both, a database that is down, is not the new release's doing and holds instead.
 */
export function judgeCanary(period: CanaryPeriod, limits: CanaryLimits): CanaryVerdict {
  const { candidate, stable } = period
  const reason = describe(candidate)
  if (candidate.requests < limits.minRequests) {
    const wanted = `${String(limits.minRequests)} are needed to judge`
    return { verdict: 'hold', reason: `${String(candidate.requests)} requests, ${wanted}` }
  }
  const rate = errorRate(candidate)
  if (rate > limits.maxErrorRate) {
    if (stable.requests > 0 && errorRate(stable) >= rate)
      return { verdict: 'hold', reason: `${reason}; the stable release fails as often` }
    return { verdict: 'fail', reason: `${reason}; at most ${percent(limits.maxErrorRate)} may` }
  }
  const p95 = percentile95(candidate)
  if (limits.p95Ms !== null && p95 > limits.p95Ms) {
    if (stable.requests > 0 && percentile95(stable) >= p95)
      return { verdict: 'hold', reason: `${reason}; the stable release is as slow` }
    return { verdict: 'fail', reason: `${reason}; the limit is ${String(limits.p95Ms)} ms` }
  }
  return { verdict: 'pass', reason }
}

/** What one release's copies of a process have served altogether. */
export function servedBy(
  traffic: readonly ReleaseTraffic[],
  process: string,
  release: number,
): ServedCounts {
  return traffic
    .filter((entry) => entry.process === process && entry.release === release)
    .reduce<ServedCounts>((sum, entry) => combine(sum, entry, 1), NOTHING)
}

/** What was served between two readings; a copy that went meanwhile takes its counts along, which never makes less than nothing of it. */
export function servedSince(before: ServedCounts, after: ServedCounts): ServedCounts {
  return combine(after, before, -1)
}

/** Upper bound of the bucket that holds the 95th percentile, in ms; Infinity beyond the last bound; 0 for no requests. */
export function percentile95({ durations }: ServedCounts): number {
  const total = durations.reduce((sum, count) => sum + count, 0)
  if (total === 0) return 0
  let seen = 0
  const at = durations.findIndex((count) => (seen += count) >= total * 0.95)
  return DURATION_BOUNDS[at] ?? Infinity
}

function combine(a: ServedCounts, b: ServedCounts, sign: 1 | -1): ServedCounts {
  const add = (x: number, y: number): number => Math.max(0, x + sign * y)
  return {
    requests: add(a.requests, b.requests),
    failures: add(a.failures, b.failures),
    durations: a.durations.map((count, i) => add(count, b.durations[i] ?? 0)),
  }
}

function errorRate({ requests, failures }: ServedCounts): number {
  return requests === 0 ? 0 : failures / requests
}

function describe(counts: ServedCounts): string {
  const failed = `${String(counts.failures)} of ${String(counts.requests)} requests failed (${percent(errorRate(counts))})`
  const p95 = percentile95(counts)
  return `${failed}, p95 ${p95 === Infinity ? 'above 30000' : `at most ${String(p95)}`} ms`
}

function percent(share: number): string {
  return `${String(Math.round(share * 1000) / 10)} %`
}
