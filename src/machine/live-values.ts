import type { Log } from '../lib/log.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { InstanceSecrets, SecretPlan, ValueState } from '../model/secrets.ts'

export interface LiveValuesDeps {
  readonly ref: AppRef
  readonly secrets: InstanceSecrets
  readonly log: Log
  /** Something is known now of the values of this `process@release` that was not before. */
  readonly onState: (key: string, before: ValueState | null) => void
}

interface Watched {
  readonly plan: SecretPlan
  readonly ending: AbortController
  state: ValueState | null
}

/** The values of running instances that can change while they run: watched, and so kept good, for as long as any instance of the release is there. */
export class LiveValues {
  readonly #deps: LiveValuesDeps
  readonly #plans = new Map<string, SecretPlan>()
  readonly #watched = new Map<string, Watched>()

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
    const watched: Watched = { plan, ending: new AbortController(), state: null }
    this.#watched.set(key, watched)
    void this.#follow(key, watched).catch((error: unknown) => {
      const { log, ref } = this.#deps
      log.error({ app: refKey(ref), key, error: String(error) }, 'values are not watched any more')
    })
  }

  async #follow(key: string, watched: Watched): Promise<void> {
    const { ref, secrets, onState } = this.#deps
    for await (const state of secrets.watch(ref, watched.plan, watched.ending.signal)) {
      if (watched.ending.signal.aborted) return
      const before = watched.state
      watched.state = state
      onState(key, before)
    }
  }
}
