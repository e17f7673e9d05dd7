import type { Clock } from '../model/clock.ts'
import type { AppRef, TargetName } from '../model/names.ts'
import type { Store } from '../model/store.ts'

export interface AccessPlacesOptions {
  readonly store: Pick<Store, 'listApps'>
  readonly clock: Clock
  readonly targetOf: (ref: AppRef) => Promise<TargetName | null | undefined>
}

/** One kubectl asks a dozen things in a row. */
const FRESH_MS = 3_000

/** Which apps run on which cluster, looked up at most every few seconds. */
export class AccessPlaces {
  readonly #options: AccessPlacesOptions
  #known: {
    readonly at: number
    readonly places: Promise<ReadonlyMap<TargetName, readonly AppRef[]>>
  } | null = null

  constructor(options: AccessPlacesOptions) {
    this.#options = options
  }

  async on(target: TargetName): Promise<readonly AppRef[]> {
    const now = this.#options.clock.elapsed()
    if (this.#known === null || now - this.#known.at >= FRESH_MS) {
      const places = this.#look()
      const known = { at: now, places }
      this.#known = known
      places.catch(() => {
        if (this.#known === known) this.#known = null
      })
    }
    return (await this.#known.places).get(target) ?? []
  }

  async #look(): Promise<ReadonlyMap<TargetName, readonly AppRef[]>> {
    const { store, targetOf } = this.#options
    const places = new Map<TargetName, AppRef[]>()
    for (const { ref, deleting } of await store.listApps()) {
      const target = deleting ? null : await targetOf(ref)
      if (target === null || target === undefined) continue
      places.set(target, [...(places.get(target) ?? []), ref])
    }
    return places
  }
}
