import { Changes } from '../lib/changes.ts'
import type { Log } from '../lib/log.ts'
import type { AppSpec } from '../model/app-spec.ts'
import type { Clock } from '../model/clock.ts'
import type {
  ActualApp,
  DesiredApp,
  Engine,
  JobRequest,
  JobResult,
  ReleaseTraffic,
} from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import type { FoundInstance, InstanceId, Usage } from '../model/instance.ts'
import type { LogReader } from '../model/logs.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { ExecRequest, ExecSession, LogLine, Runner } from '../model/runner.ts'
import type { Caller, Traffic } from '../model/traffic.ts'
import type { InstanceSecrets } from '../model/secrets.ts'
import { AppLoop } from './app-loop.ts'
import { diagnose } from './diagnosis.ts'
import { jobId, runJob } from './job.ts'
import { releaseKey } from './plan.ts'
import { TablePublisher, type TableContent } from './publisher.ts'
import { Standbys } from './standbys.ts'
import { actualApp } from './status.ts'
import { unsupportedKeys } from './unsupported-keys.ts'

export interface MachineEngineOptions {
  readonly runner: Runner
  readonly traffic: Traffic
  readonly logs: LogReader
  readonly secrets: InstanceSecrets
  readonly clock: Clock
  readonly log: Log
  readonly randomId: () => string
}

const VERIFY_MS = 2_000
const INTRODUCE_MS = 1_000
/** The result of an ended job is kept this long for a rollout that resumes. */
const JOB_KEPT_MS = 3_600_000
const JOBS_LOOK_MS = 600_000

/** The engine for this host: one loop per app, one table for the router. */
export class MachineEngine implements Engine {
  readonly name = 'machine'
  readonly #options: MachineEngineOptions
  readonly #loops = new Map<string, AppLoop>()
  readonly #changes = new Changes()
  readonly #diagnoses = new Map<string, readonly string[]>()
  /** Source addresses of jobs: they may call other apps by name as services may. */
  readonly #jobCallers = new Map<string, AppRef>()
  readonly #closing = new AbortController()
  readonly #publisher: TablePublisher
  readonly #standbys: Standbys
  #open = false

  constructor(options: MachineEngineOptions) {
    this.#options = options
    const { traffic, clock, log } = options
    this.#standbys = new Standbys(options)
    this.#publisher = new TablePublisher({
      traffic,
      clock,
      log,
      content: () => this.#table(),
      signal: this.#closing.signal,
    })
  }

  flavourOf(): 'image' | 'host' {
    return this.#options.runner.flavour
  }

  unsupported(spec: AppSpec): readonly string[] {
    return unsupportedKeys(spec)
  }

  /** Targets that were applied before are known, so that what runs for them is adopted and all else is an orphan. */
  async open(): Promise<void> {
    const { runner, traffic } = this.#options
    await runner.open()
    const routed = await this.#routedIds(traffic)
    for (const found of await runner.list()) await this.#adopt(found, routed)
    this.#open = true
    for (const loop of this.#loops.values()) loop.begin()
    void this.#keepVerifying()
    void this.#keepForgettingJobs()
  }

  apply(desired: DesiredApp): Promise<void> {
    this.#loop(desired.ref).apply(desired)
    return Promise.resolve()
  }

  async remove(ref: AppRef): Promise<void> {
    await this.#removeJobs(ref)
    const loop = this.#loops.get(refKey(ref))
    if (loop === undefined) return
    loop.apply({ ref, target: null, workloads: [] })
    while (loop.tracked.size > 0) {
      this.#closing.signal.throwIfAborted()
      const seen = this.#changes.version(refKey(ref))
      if (loop.tracked.size > 0) await this.#changes.after(refKey(ref), seen, this.#closing.signal)
    }
    await this.#standbys.settled()
    loop.close()
    this.#loops.delete(refKey(ref))
    await this.#publisher.publish()
  }

  actual(ref: AppRef): ActualApp {
    const loop = this.#loops.get(refKey(ref))
    if (loop === undefined) return { ref, instances: [], workloads: [] }
    return actualApp(loop.desired, [...loop.tracked.values()], {
      crashes: loop.crashes,
      diagnoses: this.#diagnosesOf(ref),
      trouble: (key) => loop.values.trouble(key),
      served: loop.served,
    })
  }

  async *watch(ref: AppRef, signal: AbortSignal): AsyncIterable<ActualApp> {
    const until = AbortSignal.any([signal, this.#closing.signal])
    while (!until.aborted) {
      const seen = this.#changes.version(refKey(ref))
      yield this.actual(ref)
      await this.#changes.after(refKey(ref), seen, until)
    }
  }

  runJob(
    job: JobRequest,
    onLine: (line: LogLine) => void,
    signal: AbortSignal,
  ): Promise<JobResult> {
    let caller: string | null = null
    const introduce = (source: string): Promise<void> => {
      caller = source
      this.#jobCallers.set(source, job.ref)
      return this.#introduce()
    }
    const until = AbortSignal.any([signal, this.#closing.signal])
    return runJob(job, { ...this.#options, introduce }, onLine, until).finally(async () => {
      if (caller !== null) this.#jobCallers.delete(caller)
      if (job.once === true) await this.#options.runner.remove(jobId(job))
    })
  }

  async exec(ref: AppRef, instance: InstanceId, request: ExecRequest): Promise<ExecSession> {
    const tracked = this.#loops.get(refKey(ref))?.tracked.get(instance)
    if (tracked === undefined)
      throw new FairwayError('NOT_FOUND', `${refKey(ref)} has no instance ${instance}`)
    if (tracked.phase === 'crashed')
      throw new FairwayError('NOT_RUNNING', `instance ${instance} does not run: ${tracked.reason}`)
    return this.#options.runner.exec(instance, request)
  }

  async measure(ref: AppRef): Promise<readonly ReleaseTraffic[]> {
    const tracked = this.#loops.get(refKey(ref))?.tracked
    const loads = await this.#options.traffic.load()
    return loads.flatMap(({ id, served }) => {
      const found = tracked?.get(id)
      if (found === undefined) return []
      const { process, release } = found.spec
      return [{ process, release, ...served }]
    })
  }

  async usage(ref: AppRef): Promise<ReadonlyMap<InstanceId, Usage>> {
    const ids = [...(this.#loops.get(refKey(ref))?.tracked.keys() ?? [])]
    const found = await Promise.all(
      ids.map(async (id) => [id, await this.#options.runner.usage(id)] as const),
    )
    return new Map(found.flatMap(([id, usage]) => (usage === null ? [] : [[id, usage] as const])))
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the engine closes'))
    for (const loop of this.#loops.values()) loop.close()
    await this.#options.runner.close()
  }

  // Private

  #loop(ref: AppRef): AppLoop {
    const key = refKey(ref)
    const existing = this.#loops.get(key)
    if (existing !== undefined) return existing
    const loop = new AppLoop(ref, {
      ...this.#options,
      standbys: this.#standbys,
      publish: () => this.#publisher.publish(),
      introduce: () => this.#introduce(),
      onChange: () => this.#onChange(loop),
      signal: this.#closing.signal,
    })
    this.#loops.set(key, loop)
    if (this.#open) loop.begin()
    return loop
  }

  #onChange(loop: AppLoop): void {
    for (const { process, tracks, phase } of this.actual(loop.ref).workloads) {
      for (const { release, ready, desired } of tracks) {
        const key = `${refKey(loop.ref)} ${releaseKey(process, release)}`
        if (phase !== 'failing' || ready >= desired) this.#diagnoses.delete(key)
        else if (!this.#diagnoses.has(key)) this.#gatherDiagnosis(loop, process, release, key)
      }
    }
    this.#changes.announce(refKey(loop.ref))
  }

  #gatherDiagnosis(loop: AppLoop, process: string, release: number, key: string): void {
    const copies = [...loop.tracked.values()].filter(
      ({ spec }) => spec.process === process && spec.release === release,
    )
    const worst = copies.find(({ phase }) => phase === 'crashed') ?? copies[0]
    if (worst === undefined) return
    this.#diagnoses.set(key, [])
    const { runner, logs } = this.#options
    void diagnose(worst, runner, logs).then((lines) => {
      this.#diagnoses.set(key, lines)
      this.#changes.announce(refKey(loop.ref))
    })
  }

  #diagnosesOf(ref: AppRef): ReadonlyMap<string, readonly string[]> {
    const prefix = `${refKey(ref)} `
    return new Map(
      [...this.#diagnoses]
        .filter(([key]) => key.startsWith(prefix))
        .map(([key, lines]) => [key.slice(prefix.length), lines]),
    )
  }

  async #adopt(found: FoundInstance, routed: ReadonlySet<string>): Promise<void> {
    const { runner, clock } = this.#options
    if (found.spec.kind === 'service') {
      this.#loop(found.spec.ref).adopt(found, routed.has(found.spec.id))
    } else if (isForgotten(found, clock.now())) {
      await runner.remove(found.spec.id)
    }
  }

  /** An ended job still holds its file system and its address. */
  async #keepForgettingJobs(): Promise<void> {
    const { clock, log, runner } = this.#options
    const closed = (): boolean => this.#closing.signal.aborted
    while (!closed()) {
      try {
        await clock.sleep(JOBS_LOOK_MS, this.#closing.signal)
        const ended = (await runner.list()).filter((found) => isForgotten(found, clock.now()))
        for (const { spec } of ended) await runner.remove(spec.id)
      } catch (error) {
        if (!closed()) log.warn({ error: String(error) }, 'ended jobs could not be removed')
      }
    }
  }

  /** Where the router cannot be asked, nothing counts as routed: the copies are probed again before they are. */
  async #routedIds(traffic: Traffic): Promise<ReadonlySet<string>> {
    try {
      const table = await traffic.current()
      return new Set((table?.services ?? []).flatMap(({ targets }) => targets.map(({ id }) => id)))
    } catch (error) {
      this.#options.log.warn({ error: String(error) }, 'router not reachable at start')
      return new Set()
    }
  }

  async #removeJobs(ref: AppRef): Promise<void> {
    const { runner } = this.#options
    const jobs = (await runner.list()).filter(
      ({ spec }) => spec.kind === 'job' && refKey(spec.ref) === refKey(ref),
    )
    for (const { spec } of jobs) await runner.remove(spec.id)
  }

  #table(): TableContent {
    const parts = [...this.#loops.values()].map((loop) => loop.table())
    return {
      services: parts.flatMap(({ services }) => services),
      routes: parts.flatMap(({ routes }) => routes),
      callers: this.#callers(parts.flatMap(({ callers }) => callers)),
    }
  }

  /** Where the router does not answer, an instance starts all the same: it is known to it later. */
  async #introduce(): Promise<void> {
    const late = new AbortController()
    const waited = this.#options.clock.sleep(INTRODUCE_MS, late.signal).catch(() => undefined)
    await Promise.race([this.#publisher.publish(), waited])
    late.abort()
  }

  /** An address belongs to whoever has it now: a service that got the address of an ended job replaces it. */
  #callers(services: readonly Caller[]): readonly Caller[] {
    for (const { address } of services) this.#jobCallers.delete(address)
    return [...services, ...[...this.#jobCallers].map(([address, ref]) => ({ address, ref }))]
  }

  async #keepVerifying(): Promise<void> {
    const { clock, log } = this.#options
    const closed = (): boolean => this.#closing.signal.aborted
    while (!closed()) {
      try {
        await clock.sleep(VERIFY_MS, this.#closing.signal)
        await this.#publisher.verify()
      } catch (error) {
        if (!closed()) log.debug({ error: String(error) }, 'router not verified')
      }
    }
  }
}

function isForgotten({ spec, state, exit }: FoundInstance, now: number): boolean {
  return spec.kind === 'job' && state === 'exited' && (exit?.at ?? 0) < now - JOB_KEPT_MS
}
