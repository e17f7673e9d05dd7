import { KeyedMutex } from '../lib/mutex.ts'
import type { ClusterDoor } from '../model/kube-access.ts'
import type { TargetName } from '../model/names.ts'
import type { Store, TargetRecord } from '../model/store.ts'
import { unknownTarget } from './connected-clusters.ts'

/** Makes a door; nothing is asked of the cluster yet. */
export type DoorMaker = (target: TargetRecord) => Promise<ClusterDoor>

export interface AccessDoorsOptions {
  readonly store: Pick<Store, 'getTarget'>
  readonly doors: DoorMaker
}

/** One open door per target, replaced when the target gets other credentials. */
export class AccessDoors {
  readonly #options: AccessDoorsOptions
  readonly #mutex = new KeyedMutex()
  readonly #open = new Map<TargetName, { readonly of: string; readonly door: ClusterDoor }>()

  constructor(options: AccessDoorsOptions) {
    this.#options = options
  }

  /** @throws FairwayError NOT_FOUND where no such target was added */
  of(target: TargetName): Promise<ClusterDoor> {
    return this.#mutex.run(target, async () => {
      const record = await this.#options.store.getTarget(target)
      const known = this.#open.get(target)
      const of = record === null ? '' : JSON.stringify([record.kubeconfig, record.context])
      if (known?.of === of) return known.door
      this.#open.delete(target)
      await known?.door.close()
      if (record === null) throw unknownTarget(target)
      const door = await this.#options.doors(record)
      this.#open.set(target, { of, door })
      return door
    })
  }

  async close(): Promise<void> {
    for (const { door } of this.#open.values()) await door.close()
    this.#open.clear()
  }
}
