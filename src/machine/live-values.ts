import { backoffMs } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceId, InstanceSpec } from '../model/instance.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { Runner } from '../model/runner.ts'
import type {
  InstancePayload,
  InstanceSecrets,
  LiveVersion,
  SecretPlan,
  ValueState,
} from '../model/secrets.ts'
import { changedSignals } from './value-change.ts'

export interface LiveValuesDeps {
  readonly ref: AppRef
  readonly runner: Pick<Runner, 'place' | 'signal'>
  readonly secrets: InstanceSecrets
  readonly clock: Clock
  readonly log: Log
  /** Running instances of a `process@release`, those that are about to leave left out. */
  readonly running: (key: string) => readonly InstanceSpec[]
  /** Something is to be said of these instances, for people. */
  readonly tell: (specs: readonly InstanceSpec[], text: string) => void
  /** An instance is outdated now, or values are in trouble, that were not before. */
  readonly onChange: () => void
}

interface Watched {
  readonly plan: SecretPlan
  readonly ending: AbortController
  state: ValueState | null
  /** What an instance that started now would get; null = not known yet. */
  payload: InstancePayload | null
  settling: Promise<void> | null
}

const GONE: ReadonlySet<string> = new Set(['NOT_RUNNING', 'NOT_FOUND'])

/** The values of running instances that can change while they run: watched, and so kept good, for as long as any instance of the release is there; brought to instances as the app file says. */
export class LiveValues {
  readonly #deps: LiveValuesDeps
  readonly #plans = new Map<string, SecretPlan>()
  readonly #watched = new Map<string, Watched>()
  /** What instances have, where that is no longer what they were started with. */
  readonly #placed = new Map<InstanceId, LiveVersion>()

  constructor(deps: LiveValuesDeps) {
    this.#deps = deps
  }

  /**
   * @param plans of every release that is wanted, by `process@release`
   * @param used the same keys of what there is; a release that is not wanted any more keeps its values until its last instance is gone
   */
  keep(plans: ReadonlyMap<string, SecretPlan>, used: ReadonlySet<string>): void {
    for (const [key, plan] of plans) this.#plans.set(key, plan)
    for (const [key, plan] of this.#plans) {
      if (used.has(key)) this.#watch(key, plan)
      else if (!plans.has(key)) this.#plans.delete(key)
    }
    for (const [key, watched] of this.#watched)
      if (!used.has(key)) {
        this.#watched.delete(key)
        watched.ending.abort(new Error('nobody has these values any more'))
      }
  }

  /** An instance runs now, with this. */
  started(key: string, payload: InstancePayload | undefined): void {
    const watched = this.#watched.get(key)
    if (watched === undefined || payload?.version === undefined) return
    const { restart, files } = watched.payload?.version ?? {}
    if (watched.payload === null) watched.payload = payload
    // A change while it started: what there is now is asked, instead of who was later.
    else if (restart !== payload.version.restart || files !== payload.version.files)
      void this.#renew(key, watched)
    this.#settle(key, watched)
  }

  forget(id: InstanceId): void {
    this.#placed.delete(id)
  }

  /** It has a value that is another one now, and that only another instance can get. */
  isOutdated(key: string, { values }: InstanceSpec): boolean {
    const now = this.#watched.get(key)?.payload?.version
    return values !== undefined && now !== undefined && values.restart !== now.restart
  }

  /** Why values are not looked after now; null where they are, or need not be. */
  trouble(key: string): string | null {
    const trouble = this.#watched.get(key)?.state?.trouble ?? null
    return trouble === null ? null : `values not renewed: ${trouble}`
  }

  close(): void {
    for (const { ending } of this.#watched.values()) ending.abort(new Error('the engine closes'))
    this.#watched.clear()
  }

  // Private

  #watch(key: string, plan: SecretPlan): void {
    if (this.#watched.has(key)) return
    const ending = new AbortController()
    const watched: Watched = { plan, ending, state: null, payload: null, settling: null }
    this.#watched.set(key, watched)
    void this.#follow(key, watched).catch((error: unknown) => {
      const { log, ref } = this.#deps
      log.error({ app: refKey(ref), key, error: String(error) }, 'values are not watched any more')
    })
  }

  async #follow(key: string, watched: Watched): Promise<void> {
    const { ref, secrets, running, tell, onChange } = this.#deps
    const { signal } = watched.ending
    for await (const state of secrets.watch(ref, watched.plan, signal)) {
      if (signal.aborted) return
      const before = watched.state
      watched.state = state
      const trouble = this.trouble(key)
      if (trouble !== null && trouble !== before?.trouble) tell(running(key), trouble)
      if (trouble === null && before?.trouble != null)
        tell(running(key), 'values are renewed again')
      // What an earlier server started may have other values than are there now.
      const isNew = before === null ? running(key).length > 0 : before.revision !== state.revision
      if (isNew && state.trouble === null) void this.#renew(key, watched)
      onChange()
    }
  }

  /** What is there now, for everybody who has it. */
  async #renew(key: string, watched: Watched): Promise<void> {
    const { ref, secrets, clock, log, onChange } = this.#deps
    const { signal } = watched.ending
    for (let failures = 0; !signal.aborted;) {
      try {
        watched.payload = await secrets.open(ref, watched.plan)
        onChange()
        this.#settle(key, watched)
        return
      } catch (error) {
        failures += 1
        if (failures === 1)
          log.warn({ app: refKey(ref), key, error: String(error) }, 'values that changed not read')
        await clock.sleep(backoffMs(failures), signal).catch(() => undefined)
      }
    }
  }

  /** Files of instances that have others: swapped, then told by signals, one instance after the other. */
  #settle(key: string, watched: Watched): void {
    if (watched.settling !== null) return
    watched.settling = this.#settleAll(key, watched).finally(() => {
      watched.settling = null
    })
  }

  async #settleAll(key: string, watched: Watched): Promise<void> {
    const { clock, running, log, ref } = this.#deps
    const { signal } = watched.ending
    for (let failures = 0; !signal.aborted;) {
      const next = running(key).find((spec) => this.#needsFiles(spec, watched.payload))
      if (next === undefined || watched.payload === null) return
      try {
        await this.#bring(next, watched.payload)
        failures = 0
      } catch (error) {
        failures += 1
        log.warn({ app: refKey(ref), instance: next.id, error: String(error) }, 'files not swapped')
        await clock.sleep(backoffMs(failures), signal).catch(() => undefined)
      }
    }
  }

  /** One that is to be replaced keeps what it has. */
  #needsFiles(spec: InstanceSpec, payload: InstancePayload | null): boolean {
    const [has, now] = [this.#has(spec), payload?.version]
    if (has === undefined || now === undefined) return false
    return has.restart === now.restart && has.files !== now.files
  }

  async #bring(spec: InstanceSpec, { folders, version }: InstancePayload): Promise<void> {
    const { runner, tell } = this.#deps
    const folder = folders.find(({ name }) => name === 'secrets')
    if (folder === undefined || version === undefined) return
    try {
      await runner.place(spec.id, folder)
      const signals = changedSignals(this.#has(spec), version)
      this.#placed.set(spec.id, version)
      for (const signal of signals) await runner.signal(spec.id, signal)
      const how = signals.length === 0 ? '' : `, and ${signals.join(', ')} sent`
      tell([spec], `a value changed: its files were swapped${how}`)
    } catch (error) {
      if (!(error instanceof FairwayError) || !GONE.has(error.code)) throw error
      // It ended, or has not begun: whoever starts it says what it has then.
      this.#placed.set(spec.id, version)
    }
  }

  /** Files that an earlier server swapped are swapped once more by the next: they are the same, but a signal comes once more too. */
  #has(spec: InstanceSpec): LiveVersion | undefined {
    return this.#placed.get(spec.id) ?? spec.values
  }
}
