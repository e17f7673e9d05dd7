import type { Log } from '../lib/log.ts'
import type { AppSpec } from '../model/app-spec.ts'
import type {
  ActualApp,
  DesiredApp,
  Engine,
  JobRequest,
  JobResult,
  ReleaseTraffic,
} from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceId, Usage } from '../model/instance.ts'
import { refKey, type AppRef, type TargetName } from '../model/names.ts'
import type { ExecRequest, ExecSession, LogLine } from '../model/runner.ts'
import type { ConnectedClusters } from './connected-clusters.ts'

export interface TargetedEngineOptions {
  /** Where apps run whose environment names no target. */
  readonly machine: Engine
  readonly clusters: ConnectedClusters
  /** Target of the release that serves an app; undefined = nothing serves. */
  readonly targetOf: (ref: AppRef) => Promise<TargetName | null | undefined>
  readonly log: Log
}

/**
 * One engine over this machine and every cluster: each app goes to where its target says. A cluster that does not answer holds up only the apps on it.
 * An app whose target changed is removed from the old place once it serves from the new one.
 */
export class TargetedEngine implements Engine {
  readonly #options: TargetedEngineOptions
  readonly #placed = new Map<string, TargetName | null>()
  /** Places that an app has left or is leaving. */
  readonly #leaving = new Map<string, Set<TargetName | null>>()
  readonly #closing = new AbortController()

  constructor(options: TargetedEngineOptions) {
    this.#options = options
  }

  get name(): Engine['name'] {
    return this.#options.machine.name
  }

  flavourOf(spec: AppSpec): 'image' | 'host' {
    return spec.target === null ? this.#options.machine.flavourOf(spec) : 'image'
  }

  unsupported(spec: AppSpec): readonly string[] {
    if (spec.target === null) return this.#options.machine.unsupported(spec)
    return this.#options.clusters.engineNow(spec.target)?.unsupported(spec) ?? []
  }

  async notes(desired: DesiredApp): Promise<readonly string[]> {
    return (await (await this.#engine(desired.target)).notes?.(desired)) ?? []
  }

  async open(): Promise<void> {
    await this.#options.machine.open()
    await this.#options.clusters.open()
  }

  async apply(desired: DesiredApp): Promise<void> {
    const key = refKey(desired.ref)
    const before = this.#placed.get(key)
    const { target } = desired
    // A target that does not exist is no place.
    await this.#engine(target)
    this.#placed.set(key, target)
    if (before !== undefined && before !== target) this.#leave(desired.ref, before)
    if (target === null) await this.#options.machine.apply(desired)
    else await this.#options.clusters.apply(target, desired)
  }

  async remove(ref: AppRef): Promise<void> {
    const places = new Set(this.#leaving.get(refKey(ref)) ?? [])
    const placed = this.#placed.get(refKey(ref)) ?? (await this.#options.targetOf(ref))
    places.add(placed ?? null)
    for (const target of places) await this.#removeFrom(target, ref)
    this.#placed.delete(refKey(ref))
    this.#leaving.delete(refKey(ref))
  }

  /** Undefined where nothing was applied for this app since the server began. */
  placeOf(ref: AppRef): TargetName | null | undefined {
    return this.#placed.get(refKey(ref))
  }

  actual(ref: AppRef): ActualApp {
    return this.#placedEngine(ref)?.actual(ref) ?? { ref, instances: [], workloads: [] }
  }

  async *watch(ref: AppRef, signal: AbortSignal): AsyncIterable<ActualApp> {
    const engineOf = (): Promise<Engine> => this.#engine(this.#placed.get(refKey(ref)) ?? null)
    // A target that is added again has a new engine: whoever waits goes on with that one.
    for (let before: Engine | null = null; !signal.aborted && !this.#closing.signal.aborted;) {
      const engine = await engineOf()
      if (engine === before) return
      before = engine
      yield* engine.watch(ref, signal)
    }
  }

  async runJob(
    job: JobRequest,
    onLine: (line: LogLine) => void,
    signal: AbortSignal,
  ): Promise<JobResult> {
    return (await this.#engine(job.spec.target)).runJob(job, onLine, signal)
  }

  async exec(ref: AppRef, instance: InstanceId, request: ExecRequest): Promise<ExecSession> {
    return (await this.#engine(this.#placed.get(refKey(ref)) ?? null)).exec(ref, instance, request)
  }

  async measure(ref: AppRef): Promise<readonly ReleaseTraffic[] | null> {
    return (await this.#engine(this.#placed.get(refKey(ref)) ?? null)).measure(ref)
  }

  async usage(ref: AppRef): Promise<ReadonlyMap<InstanceId, Usage>> {
    return (await this.#placedEngine(ref)?.usage(ref)) ?? new Map<InstanceId, Usage>()
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the engine closes'))
    await this.#options.clusters.close()
    await this.#options.machine.close()
  }

  // Private

  #placedEngine(ref: AppRef): Engine | null {
    const target = this.#placed.get(refKey(ref)) ?? null
    return target === null ? this.#options.machine : this.#options.clusters.engineNow(target)
  }

  async #engine(target: TargetName | null): Promise<Engine> {
    if (target === null) return this.#options.machine
    return (await this.#options.clusters.connected(target)).engine
  }

  async #removeFrom(place: TargetName | null, ref: AppRef): Promise<void> {
    if (place === null) await this.#options.machine.remove(ref)
    else await this.#options.clusters.remove(place, ref)
  }

  /** In the background: the new place has to serve first, and the old one may not answer for a while. */
  #leave(ref: AppRef, place: TargetName | null): void {
    const key = refKey(ref)
    const places = this.#leaving.get(key) ?? new Set()
    this.#leaving.set(key, places.add(place))
    const left = this.#untilServing(ref, place).then(async (serves) => {
      if (!serves) return
      await this.#removeFrom(place, ref)
      places.delete(place)
    })
    left.catch((error: unknown) => {
      if (this.#closing.signal.aborted) return
      const fields = { app: key, place: place ?? 'this machine', error: String(error) }
      this.#options.log.error(fields, 'an app could not be removed from where it was before')
    })
  }

  /** False where it came back to the old place before it served from the new one. */
  async #untilServing(ref: AppRef, left: TargetName | null): Promise<boolean> {
    for await (const { workloads } of this.watch(ref, this.#closing.signal)) {
      if ((this.#placed.get(refKey(ref)) ?? null) === left) return false
      if (workloads.every(({ phase }) => phase === 'converged')) return true
    }
    throw new FairwayError('TIMEOUT', 'the engine closed before the move was complete')
  }
}
