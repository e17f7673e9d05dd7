import { EventEmitter, once } from 'node:events'
import type {
  ActualApp,
  DesiredApp,
  Engine,
  JobResult,
  ReleaseTraffic,
} from '../../src/model/engine.ts'
import type { InstanceId, Usage } from '../../src/model/instance.ts'
import { refKey, type AppRef } from '../../src/model/names.ts'
import type { ExecSession } from '../../src/model/runner.ts'

/** Makes whatever it is told true at once and without starting anything; while `stuck` nothing new gets ready. */
export class FakeEngine implements Engine {
  readonly name = 'machine'
  readonly #targets = new Map<string, DesiredApp>()
  readonly #changes = new EventEmitter().setMaxListeners(0)
  /** What happens while it opens. */
  opening: () => void = () => undefined
  /** Everything that it was told, oldest first. */
  readonly told: DesiredApp[] = []
  #stuck = false

  get stuck(): boolean {
    return this.#stuck
  }

  set stuck(stuck: boolean) {
    this.#stuck = stuck
    this.#changes.emit('change')
  }

  /** Release that the first process of the app runs; null = none. */
  running(ref: AppRef): number | null {
    return this.#targets.get(refKey(ref))?.workloads[0]?.tracks[0]?.release ?? null
  }

  /** Releases that the first process of the app runs, those kept ready too. */
  releases(ref: AppRef): readonly number[] {
    const tracks = this.#targets.get(refKey(ref))?.workloads[0]?.tracks ?? []
    return tracks.map(({ release }) => release)
  }

  flavourOf(): 'host' {
    return 'host'
  }

  unsupported(): readonly string[] {
    return []
  }

  async open(): Promise<void> {
    await Promise.resolve()
    this.opening()
  }

  apply(desired: DesiredApp): Promise<void> {
    this.told.push(desired)
    this.#targets.set(refKey(desired.ref), desired)
    this.#changes.emit('change')
    return Promise.resolve()
  }

  remove(ref: AppRef): Promise<void> {
    this.#targets.delete(refKey(ref))
    this.#changes.emit('change')
    return Promise.resolve()
  }

  actual(ref: AppRef): ActualApp {
    const workloads = (this.#targets.get(refKey(ref))?.workloads ?? []).flatMap(
      ({ process, tracks: [track] }) => {
        if (track === undefined) return []
        const { name, release, replicas: desired } = track
        const ready = this.#stuck ? 0 : desired
        const phase = this.#stuck ? ('progressing' as const) : ('converged' as const)
        const tracks = [{ name, release, desired, ready }]
        return [{ process, release, desired, ready, old: 0, tracks, phase, diagnosis: [] }]
      },
    )
    return { ref, instances: [], workloads }
  }

  async *watch(ref: AppRef, signal: AbortSignal): AsyncIterable<ActualApp> {
    while (!signal.aborted) {
      yield this.actual(ref)
      await once(this.#changes, 'change', { signal }).catch(() => undefined)
    }
  }

  runJob(): Promise<JobResult> {
    return Promise.resolve({ instance: 'job', code: 0, reason: 'exit code 0', lastLines: [] })
  }

  exec(): Promise<ExecSession> {
    return Promise.reject(new Error('this engine runs nothing'))
  }

  measure(): Promise<readonly ReleaseTraffic[] | null> {
    return Promise.resolve(null)
  }

  usage(): Promise<ReadonlyMap<InstanceId, Usage>> {
    return Promise.resolve(new Map())
  }

  async close(): Promise<void> {
    await Promise.resolve()
  }
}
