import type { ReleaseTraffic } from '../model/engine.ts'
import type { Clock } from '../model/clock.ts'
import type { MetricsSource } from './metrics-source.ts'
import { releaseTraffic } from './traffic-answer.ts'
import {
  TRAFFIC_FAMILIES,
  trafficQuery,
  type Serving,
  type TrafficFamily,
} from './traffic-query.ts'

/** A reading serves for this long: rollouts ask every second, scrapes are farther apart. */
const FRESH_MS = 2_000
/** Counters of two families must not be compared: a family is kept while it is asked at least this often. */
const KEPT_MS = 60_000

interface Reading {
  readonly at: number
  readonly family: TrafficFamily
  readonly traffic: readonly ReleaseTraffic[]
}

/** What releases of apps have served, by the first family of metrics that knows of any of their requests. */
export class TrafficReader {
  readonly #source: Pick<MetricsSource, 'query'>
  readonly #clock: Clock
  readonly #readings = new Map<string, Reading>()

  constructor(source: Pick<MetricsSource, 'query'>, clock: Clock) {
    this.#source = source
    this.#clock = clock
  }

  /** Empty where nobody counted anything. @throws FairwayError CLUSTER_UNREACHABLE where the source cannot be read */
  async read(serving: Serving, signal?: AbortSignal): Promise<readonly ReleaseTraffic[]> {
    const { namespace } = serving
    const last = this.#readings.get(namespace)
    const age = last === undefined ? Infinity : this.#clock.now() - last.at
    if (last !== undefined && age < FRESH_MS) return last.traffic
    const families = last !== undefined && age < KEPT_MS ? [last.family] : TRAFFIC_FAMILIES
    for (const family of families) {
      const query = trafficQuery(family, serving)
      if (query === null) continue
      const samples = await this.#source.query(query, signal)
      const traffic = releaseTraffic(family, samples, family.owners(serving))
      if (traffic.length === 0) continue
      this.#readings.set(namespace, { at: this.#clock.now(), family, traffic })
      return traffic
    }
    return []
  }

  forget(namespace: string): void {
    this.#readings.delete(namespace)
  }
}
