import type { ReleaseTraffic } from '../model/engine.ts'
import { DURATION_BOUNDS } from '../model/traffic.ts'
import { at, isRecord, listAt, recordAt, textAt } from './json-value.ts'
import { PART, type TrafficFamily, type TrafficOwner } from './traffic-query.ts'

/** One series of an instant vector. */
export interface Sample {
  readonly labels: Readonly<Record<string, unknown>>
  readonly value: number
}

/**
 * The vector in an answer of `/api/v1/query`. Source: Prometheus' HTTP API; values are texts.
 * @throws Error with the source's own words where it refused, or where it is no answer of that API
 */
export function readSamples(answer: unknown): readonly Sample[] {
  if (!isRecord(answer) || typeof answer['status'] !== 'string')
    throw new Error('its answer is not one of the API of Prometheus')
  if (answer['status'] !== 'success')
    throw new Error(textAt(answer, 'error').slice(0, 300) || 'it refused the query')
  if (textAt(answer, 'data', 'resultType') !== 'vector') throw new Error('it answers no vector')
  return listAt(answer, 'data', 'result').flatMap((series) => {
    const [, text] = listAt(series, 'value')
    const value = typeof text === 'string' ? Number(text) : NaN
    return Number.isFinite(value) && value >= 0
      ? [{ labels: recordAt(series, 'metric'), value }]
      : []
  })
}

/** Pure: what each copy (or slot) has served. Series of nobody's are left out. */
export function releaseTraffic(
  family: TrafficFamily,
  samples: readonly Sample[],
  owners: ReadonlyMap<string, TrafficOwner>,
): readonly ReleaseTraffic[] {
  return [...owners].flatMap(([name, { process, release }]) => {
    const own = samples.filter(({ labels }) => labels[family.label] === name)
    if (own.length === 0) return []
    const part = (wanted: string): readonly Sample[] =>
      own.filter(({ labels }) => labels[PART] === wanted)
    const total = (wanted: string): number =>
      Math.round(part(wanted).reduce((sum, { value }) => sum + value, 0))
    const cumulative = part('durations').map(({ labels, value }) => ({
      boundMs: boundOf(at(labels, 'le')) * family.unitMs,
      count: value,
    }))
    return [
      {
        process,
        release,
        requests: total('requests'),
        failures: Math.min(total('failures'), total('requests')),
        durations: durationCounts(cumulative),
      },
    ]
  })
}

/**
 * Pure: cumulative buckets of any bounds as counts of `DURATION_BOUNDS`. A bucket that lies across a bound counts as the slower one: a request is never
 * taken for faster than it was.
 */
export function durationCounts(
  cumulative: readonly { readonly boundMs: number; readonly count: number }[],
): readonly number[] {
  const counts = new Array<number>(DURATION_BOUNDS.length + 1).fill(0)
  let before = 0
  for (const { boundMs, count } of [...cumulative].sort((a, b) => a.boundMs - b.boundMs)) {
    if (Number.isNaN(boundMs) || count <= before) continue
    // Bounds in seconds times 1000 may be off by a hair.
    const found = DURATION_BOUNDS.findIndex((bound) => boundMs <= bound * (1 + 1e-9))
    const index = found === -1 ? DURATION_BOUNDS.length : found
    counts[index] = (counts[index] ?? 0) + Math.round(count) - Math.round(before)
    before = count
  }
  return counts
}

// Private

function boundOf(le: unknown): number {
  if (typeof le !== 'string' || le === '') return NaN
  return le === '+Inf' ? Infinity : Number(le)
}
