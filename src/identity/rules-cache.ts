import type { AccessStore, Binding } from '../model/access.ts'
import type { Clock } from '../model/clock.ts'
import { rulesOf, type Rules } from './decide.ts'

/** Teams, protected environments and bindings as they were read together. */
export interface ReadRules extends Rules {
  readonly bindings: readonly Binding[]
  /** Milliseconds that a rollout waits for its approval, by protected environment. */
  readonly waits: ReadonlyMap<string, number>
}

/** What was read is trusted this long; a change made here is read at once. */
const CACHE_MS = 10_000

/** Keeps the rules at hand, so that deciding neither waits nor asks the store. */
export class RulesCache {
  readonly #store: AccessStore
  readonly #clock: Clock
  #read: { readonly rules: ReadRules; readonly at: number } | null = null
  #reading: Promise<ReadRules> | null = null
  #started = 0
  #newest = 0

  constructor(store: AccessStore, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /** Null before the first look. */
  get last(): ReadRules | null {
    return this.#read?.rules ?? null
  }

  async current(): Promise<ReadRules> {
    if (this.#read !== null && this.#clock.now() - this.#read.at < CACHE_MS) return this.#read.rules
    this.#reading ??= this.reload().finally(() => {
      this.#reading = null
    })
    return await this.#reading
  }

  async reload(): Promise<ReadRules> {
    const turn = (this.#started += 1)
    const [teams, bindings, protections] = await Promise.all([
      this.#store.listTeams(),
      this.#store.listBindings(),
      this.#store.listProtections(),
    ])
    const rules: ReadRules = {
      ...rulesOf(
        new Map(teams.map(({ name, apps }) => [name, new Set(apps)])),
        new Set(protections.map(({ environment }) => environment)),
      ),
      bindings,
      waits: new Map(protections.map(({ environment, waitMs }) => [environment, waitMs])),
    }
    // A look that began before a change must not replace the one that began after it.
    if (turn > this.#newest) {
      this.#newest = turn
      this.#read = { rules, at: this.#clock.now() }
    }
    return rules
  }
}
