import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { DesiredApp, Track, Workload } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import type { FoundInstance, InstanceId, InstanceSpec } from '../model/instance.ts'
import type { LogReader } from '../model/logs.ts'
import type { AppRef } from '../model/names.ts'
import { refKey } from '../model/names.ts'
import type { Runner } from '../model/runner.ts'
import type { InstanceSecrets } from '../model/secrets.ts'
import type { Traffic } from '../model/traffic.ts'
import { CrashHistory } from './crashes.ts'
import { LiveValues } from './live-values.ts'
import { instanceSpec } from './instance-spec.ts'
import { watchInstance, type WatchEvent } from './instance-watch.ts'
import { payloadOf, runningOf, valuesInUse, withVersion } from './payload.ts'
import { plan, releaseKey, specKey, type PlanStep } from './plan.ts'
import type { Standbys } from './standbys.ts'
import { appTable, type AppTable } from './table.ts'
import { describeExit, toPlanned, type Tracked, type TrackedMap } from './tracked.ts'

export interface AppLoopDeps {
  readonly runner: Runner
  readonly traffic: Traffic
  readonly logs: LogReader
  readonly secrets: InstanceSecrets
  readonly standbys: Pick<Standbys, 'keep' | 'claim' | 'keepOnly'>
  readonly clock: Clock
  readonly log: Log
  readonly randomId: () => string
  /** Brings the whole table, ours included, to the router. */
  readonly publish: () => Promise<void>
  /** Same, for a new instance that may call others with its first breath; gives up soon where no router answers. */
  readonly introduce: () => Promise<void>
  readonly onChange: () => void
  readonly signal: AbortSignal
}

const NOBODY: Omit<DesiredApp, 'ref'> = { target: null, workloads: [] }

/**
 * Converges one app in one environment. Every event (a new target, a probe, an exit, a timer) leads to the same pass: plan from what is
 * known now, begin the steps, publish. Steps run on their own and report back by changing what is known.
 */
export class AppLoop {
  readonly ref: AppRef
  readonly crashes = new CrashHistory()
  readonly values: LiveValues
  readonly #deps: AppLoopDeps
  readonly #tracked = new Map<InstanceId, Tracked>()
  readonly #watches = new Map<InstanceId, AbortController>()
  /** `Clock.elapsed` at the start of each. */
  readonly #since = new Map<InstanceId, number>()
  #desired: DesiredApp
  #served: DesiredApp | null = null
  #timer: NodeJS.Timeout | undefined
  #passing = false
  #started = false

  constructor(ref: AppRef, deps: AppLoopDeps) {
    this.ref = ref
    this.#deps = deps
    this.#desired = { ref, ...NOBODY }
    this.values = new LiveValues({
      ...{ ...deps, ref },
      running: (key) => runningOf(key, this.#tracked.values()),
      tell: (specs, text) => {
        for (const spec of specs)
          this.#background('note', deps.logs.note(spec, text, deps.clock.now()))
      },
      onChange: () => this.wake(),
    })
  }

  get tracked(): TrackedMap {
    return this.#tracked
  }

  get desired(): DesiredApp {
    return this.#desired
  }

  /** The router has the table of the newest target. */
  get served(): boolean {
    return this.#served === this.#desired
  }

  table(): AppTable {
    return appTable(this.#desired, [...this.#tracked.values()])
  }

  apply(desired: DesiredApp): void {
    this.#desired = desired
    const keys = desired.workloads.flatMap(({ process, tracks }) =>
      tracks.map(({ release }) => releaseKey(process, release)),
    )
    this.crashes.keepOnly(new Set(keys))
    this.#deps.standbys.keepOnly(this.ref, new Set(keys))
    this.wake()
  }

  /** Takes over what an earlier server left. `routed` = the router still sends requests to it, so it was ready. */
  adopt(found: FoundInstance, routed: boolean): void {
    const running = found.state === 'running'
    const { clock } = this.#deps
    this.#since.set(found.spec.id, clock.elapsed() - Math.max(0, clock.now() - found.startedAt))
    this.#put({
      spec: found.spec,
      phase: !running ? 'crashed' : routed ? 'ready' : 'starting',
      reason: running ? 'adopted' : this.#exitText(found),
      address: found.address,
      source: found.source,
      startedAt: found.startedAt,
      restarts: 0,
      exit: found.exit,
    })
    if (running) this.#watch(found.spec, found.address)
  }

  begin(): void {
    this.#started = true
    this.wake()
  }

  wake(): void {
    if (!this.#started || this.#passing || this.#deps.signal.aborted) return
    this.#passing = true
    queueMicrotask(() => {
      this.#passing = false
      if (!this.#deps.signal.aborted) this.#pass()
    })
  }

  close(): void {
    clearTimeout(this.#timer)
    for (const watch of this.#watches.values()) watch.abort()
    this.values.close()
  }

  // One pass

  #pass(): void {
    clearTimeout(this.#timer)
    const now = this.#deps.clock.now()
    const instances = [...this.#tracked.values()].map((tracked) =>
      toPlanned(tracked, this.values.isOutdated(specKey(tracked.spec), tracked.spec)),
    )
    const steps = plan({
      desired: this.#desired,
      instances,
      notBefore: this.#notBefore(now),
      now,
    })
    for (const step of steps) this.#begin(step)
    const waits = steps.flatMap((step) => (step.kind === 'wait' ? [step.until] : []))
    if (waits.length > 0) {
      this.#timer = setTimeout(() => this.wake(), Math.max(5, Math.min(...waits) - now, 5))
    }
    this.values.keep(...valuesInUse(this.#desired, this.#tracked.values()))
    this.#publish()
    this.#deps.onChange()
  }

  /** On today's wall clock, whatever it showed at the crash. */
  #notBefore(now: number): ReadonlyMap<string, number> {
    const offset = now - this.#deps.clock.elapsed()
    return new Map([...this.crashes.notBefore()].map(([key, at]) => [key, at + offset]))
  }

  #begin(step: PlanStep): void {
    if (step.kind === 'start') this.#background('start', this.#start(step.process, step.release))
    if (step.kind === 'retire') this.#background('retire', this.#retire(step.id, step.why))
  }

  /** A step that fails has said why in the state; what is left is to look again. */
  #background(what: string, work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (this.#deps.signal.aborted) return
      this.#deps.log.error({ app: refKey(this.ref), what, error: String(error) }, 'step failed')
    })
  }

  #publish(): void {
    const desired = this.#desired
    const published = this.#deps.publish().then(() => {
      if (this.#served === desired) return
      this.#served = desired
      this.#deps.onChange()
    })
    this.#background('publish', published)
  }

  // Steps

  async #start(process: string, release: number): Promise<void> {
    const found = this.#findTrack(process, release)
    if (found === null) return
    const fresh = this.#newSpec(found)
    const standby = this.#deps.standbys.claim(fresh)
    const spec = standby === null ? fresh : { ...fresh, id: standby.id }
    const key = releaseKey(process, release)
    this.#since.set(spec.id, this.#deps.clock.elapsed())
    this.#put({
      spec,
      phase: 'starting',
      reason: 'starting',
      address: null,
      // Where it is known already, the table that tells of the start introduces it as well.
      source: standby?.source ?? null,
      startedAt: spec.createdAt,
      restarts: this.crashes.restarts(key),
      exit: null,
    })
    try {
      const introduce = (source: string): Promise<void> => {
        this.#change(spec.id, { source })
        return this.#deps.introduce()
      }
      const payload = await payloadOf(this.ref, found.track.secrets, this.#deps.secrets)
      const full = withVersion(spec, payload)
      const started = await this.#deps.runner.start(full, introduce, payload)
      const { address, source, startedAt: begun } = started
      this.#change(spec.id, { spec: full, address, source, startedAt: begun })
      this.#watch(full, started.address)
      this.values.started(key, payload)
    } catch (error) {
      if (this.#deps.signal.aborted) return
      const text = error instanceof FairwayError ? error.message : `cannot start: ${String(error)}`
      this.#crash(spec, { text, hopeless: true })
    }
  }

  /** Router first, then the signal: nothing is sent to a copy that is about to leave, and what it has is finished. */
  async #retire(id: InstanceId, why: string): Promise<void> {
    const tracked = this.#tracked.get(id)
    if (tracked === undefined || tracked.phase === 'draining' || tracked.phase === 'stopping')
      return
    const { runner, traffic } = this.#deps
    this.#change(id, { phase: 'draining', reason: why })
    if (tracked.phase !== 'crashed') {
      if (tracked.spec.listens) {
        await this.#deps.publish()
        await this.#untilDone(() => traffic.drain(id, tracked.spec.shutdown.drainMs))
      }
      this.#change(id, { phase: 'stopping' })
      this.#unwatch(id)
      const { signal, stopMs } = tracked.spec.shutdown
      await this.#untilDone(() => runner.stop(id, { signal, graceMs: stopMs }))
    }
    this.#unwatch(id)
    await this.#untilDone(() => runner.remove(id))
    this.#tracked.delete(id)
    this.values.forget(id)
    this.#since.delete(id)
    this.#keepStandby(tracked.spec)
    this.wake()
  }

  /** Where the last copy of a stopped web process has left, the next one is made ahead: somebody's request will wait for it. */
  #keepStandby({ process, release, listens }: InstanceSpec): void {
    const found = this.#findTrack(process, release)
    if (!listens || found?.track.replicas !== 0 || this.#deps.signal.aborted) return
    const key = releaseKey(process, release)
    if ([...this.#tracked.values()].some(({ spec }) => specKey(spec) === key)) return
    this.#deps.standbys.keep(this.#newSpec(found))
  }

  /** Repeats what must happen in the end, however often the router or the runner fails meanwhile. */
  async #untilDone(task: () => Promise<unknown>): Promise<void> {
    const { clock, log, signal } = this.#deps
    for (let failures = 0; ; failures++) {
      signal.throwIfAborted()
      try {
        await task()
        return
      } catch (error) {
        if (failures % 20 === 0)
          log.warn({ app: refKey(this.ref), error: String(error) }, 'step failed, trying again')
        await clock.sleep(Math.min(5_000, 100 * 2 ** Math.min(failures, 6)), signal)
      }
    }
  }

  // What happens to instances

  #watch(spec: InstanceSpec, address: FoundInstance['address']): void {
    const own = new AbortController()
    this.#watches.set(spec.id, own)
    const { runner, clock } = this.#deps
    const signal = AbortSignal.any([own.signal, this.#deps.signal])
    const onEvent = (event: WatchEvent): void => this.#onWatchEvent(spec, event)
    this.#background('watch', watchInstance({ spec, address, runner, clock, onEvent }, signal))
  }

  #unwatch(id: InstanceId): void {
    this.#watches.get(id)?.abort()
    this.#watches.delete(id)
  }

  #onWatchEvent(spec: InstanceSpec, event: WatchEvent): void {
    const tracked = this.#tracked.get(spec.id)
    if (tracked === undefined) return
    const leaving = tracked.phase === 'draining' || tracked.phase === 'stopping'
    if (event.kind === 'exited' && !leaving) {
      const text = describeExit(event.exit, spec.resources.memory)
      this.#crash(spec, { text, hopeless: false, exit: event.exit })
    }
    if (leaving) return
    if (event.kind === 'waiting') this.#change(spec.id, { reason: `waiting: ${event.text}` })
    if (event.kind === 'ready') this.#becomeReady(spec, tracked)
    if (event.kind === 'unready') this.#change(spec.id, { phase: 'unready', reason: event.text })
    if (event.kind === 'late') this.#background('kill', this.#killLate(spec, event.text))
    this.wake()
  }

  #becomeReady(spec: InstanceSpec, tracked: Tracked): void {
    const crashed = this.crashes.lastText(specKey(spec))
    this.crashes.recover(specKey(spec))
    const reason = tracked.restarts > 0 && crashed !== null ? `restarted after ${crashed}` : ''
    this.#change(spec.id, { phase: 'ready', reason })
  }

  /** Not ready in time: it counts as a crash, and its remains say why. */
  async #killLate(spec: InstanceSpec, text: string): Promise<void> {
    const seconds = String(Math.round(spec.health.startMs / 1000))
    this.#unwatch(spec.id)
    const ports = await this.#deps.runner.listeningPorts(spec.id)
    const listening =
      ports.length === 0 ? 'it listens on no port' : `it listens on ${ports.join(', ')}`
    const why = `not ready within ${seconds} s: ${text}; ${listening}`
    this.#crash(spec, { text: why, hopeless: true })
    const { signal } = spec.shutdown
    await this.#deps.runner.stop(spec.id, {
      signal,
      graceMs: Math.min(spec.shutdown.stopMs, 5_000),
    })
  }

  #crash(
    spec: InstanceSpec,
    crash: { text: string; hopeless: boolean; exit?: FoundInstance['exit'] },
  ): void {
    const { clock, logs } = this.#deps
    const { text, hopeless, exit = null } = crash
    const at = clock.now()
    const elapsedMs = clock.elapsed()
    const key = specKey(spec)
    this.crashes.add(key, {
      elapsedMs,
      ranForMs: elapsedMs - (this.#since.get(spec.id) ?? elapsedMs),
      text,
      hopeless,
    })
    const pauseMs = (this.crashes.notBefore().get(key) ?? elapsedMs) - elapsedMs
    const reason =
      pauseMs > 0 ? `${text}, next start after ${String(Math.round(pauseMs) / 1000)} s` : text
    this.#change(spec.id, { phase: 'crashed', reason, exit, address: null, source: null })
    this.#background('note', logs.note(spec, text, at))
    this.wake()
  }

  // Making records

  #findTrack(process: string, release: number): { workload: Workload; track: Track } | null {
    const workload = this.#desired.workloads.find((candidate) => candidate.process === process)
    const track = workload?.tracks.find((candidate) => candidate.release === release)
    return workload === undefined || track === undefined ? null : { workload, track }
  }

  #newSpec(found: { readonly workload: Workload; readonly track: Track }): InstanceSpec {
    const { clock, randomId } = this.#deps
    return instanceSpec(this.ref, found, { suffix: randomId(), createdAt: clock.now() })
  }

  #exitText(found: FoundInstance): string {
    return found.exit === null ? 'ended' : describeExit(found.exit, found.spec.resources.memory)
  }

  #put(tracked: Tracked): void {
    this.#tracked.set(tracked.spec.id, tracked)
    this.#deps.onChange()
  }

  #change(id: InstanceId, change: Partial<Tracked>): void {
    const before = this.#tracked.get(id)
    if (before === undefined) return
    this.#put({ ...before, ...change })
    if (before.phase === 'ready' && change.phase === 'unready') this.#publish()
  }
}
