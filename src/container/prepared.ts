import type { InstanceId, InstanceSpec } from '../model/instance.ts'
import type { MadeInstance } from './instance-maker.ts'

/** Instances that were made ahead, while they are no instances yet. */
export class Prepared {
  readonly #specs = new Map<InstanceId, InstanceSpec>()
  readonly #made = new Map<InstanceId, MadeInstance>()

  /** Also those that are still being made. */
  get ids(): readonly InstanceId[] {
    return [...this.#specs.keys()]
  }

  begin(spec: InstanceSpec): void {
    this.#specs.set(spec.id, spec)
  }

  done(id: InstanceId, made: MadeInstance): void {
    this.#made.set(id, made)
  }

  /** Gives it away; null where there is none, or one of another spec. */
  take(spec: InstanceSpec): MadeInstance | null {
    const before = this.#specs.get(spec.id)
    const made = this.#made.get(spec.id)
    this.forget(spec.id)
    if (before === undefined || made === undefined) return null
    return lasting(before) === lasting(spec) ? made : null
  }

  /** Its spec, where there was one. */
  forget(id: InstanceId): InstanceSpec | null {
    const spec = this.#specs.get(id) ?? null
    this.#specs.delete(id)
    this.#made.delete(id)
    return spec
  }
}

/** All of a spec that the container is made from. */
function lasting(spec: InstanceSpec): string {
  return JSON.stringify({ ...spec, createdAt: 0, values: undefined })
}
