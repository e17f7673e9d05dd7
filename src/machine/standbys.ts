import type { Log } from '../lib/log.ts'
import type { InstanceId, InstanceSpec } from '../model/instance.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { Runner } from '../model/runner.ts'
import { specKey } from './plan.ts'

export interface StandbysOptions {
  readonly runner: Pick<Runner, 'prepare' | 'remove'>
  readonly log: Log
  /** Each costs the memory of a monitor and of a runtime's init; default 3. */
  readonly limit?: number
}

/** An instance that was made ahead; `source` is null while it still is being made. */
export interface Standby {
  readonly id: InstanceId
  readonly source: string | null
}

interface Kept {
  readonly spec: InstanceSpec
  readonly made: Promise<unknown>
  source: string | null
}

/**
 * Instances made ahead of need, for the processes that were stopped last: when one is asked for again, most of its start has happened. One for each process of a release,
 * of all apps together no more than the limit, and of use only for exactly the spec that it was made of.
 */
export class Standbys {
  readonly #options: StandbysOptions
  /** The oldest first. */
  readonly #kept = new Map<string, Kept>()
  readonly #going = new Set<Promise<void>>()

  constructor(options: StandbysOptions) {
    this.#options = options
  }

  /** Begins to make one. What has secrets among its variables gets none: they are opened for a start, not ahead of it. */
  keep(spec: InstanceSpec): void {
    const key = keyOf(spec)
    if ((spec.privateEnv ?? []).length > 0 || this.#kept.has(key)) return
    const { runner, log, limit = 3 } = this.#options
    const made = runner.prepare(spec).then(
      (source) => {
        kept.source = source
        if (source === null) this.#forget(key, kept)
      },
      (error: unknown) => {
        log.warn({ instance: spec.id, error: String(error) }, 'no instance made ahead')
        this.#forget(key, kept)
      },
    )
    const kept: Kept = { spec, made, source: null }
    this.#kept.set(key, kept)
    for (const old of this.#kept.keys()) {
      if (this.#kept.size <= limit) break
      this.#drop(old)
    }
  }

  /** Gives away the one for such a spec, if there is any: it is started under its own id. */
  claim(wanted: InstanceSpec): Standby | null {
    const key = keyOf(wanted)
    const kept = this.#kept.get(key)
    if (kept === undefined) return null
    if (lasting(kept.spec) !== lasting(wanted)) {
      this.#drop(key)
      return null
    }
    this.#kept.delete(key)
    return { id: kept.spec.id, source: kept.source }
  }

  /** Removes those of an app's processes and releases that are not among these (`process@release`). */
  keepOnly(ref: AppRef, specKeys: ReadonlySet<string>): void {
    for (const [key, { spec }] of this.#kept)
      if (refKey(spec.ref) === refKey(ref) && !specKeys.has(specKey(spec))) this.#drop(key)
  }

  /** Resolves when what was removed is gone. */
  async settled(): Promise<void> {
    await Promise.all(this.#going)
  }

  #drop(key: string): void {
    const kept = this.#kept.get(key)
    if (kept === undefined) return
    this.#kept.delete(key)
    const { runner, log } = this.#options
    const { id } = kept.spec
    const going = kept.made
      .then(() => runner.remove(id))
      .catch((error: unknown) => {
        log.warn({ instance: id, error: String(error) }, 'an instance made ahead is not removed')
      })
      .finally(() => this.#going.delete(going))
    this.#going.add(going)
  }

  #forget(key: string, kept: Kept): void {
    if (this.#kept.get(key) === kept) this.#kept.delete(key)
  }
}

function keyOf(spec: InstanceSpec): string {
  return `${refKey(spec.ref)} ${specKey(spec)}`
}

function lasting(spec: InstanceSpec): string {
  return JSON.stringify({ ...spec, id: '', createdAt: 0 })
}
