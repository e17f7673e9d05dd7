import type { Log } from '../lib/log.ts'
import type { DesiredApp, Engine } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef, type TargetName } from '../model/names.ts'
import type { Store } from '../model/store.ts'
import type { Cluster, Clusters } from '../model/targets.ts'

export interface ConnectedClustersOptions {
  readonly store: Pick<Store, 'getTarget' | 'listTargets'>
  readonly clusters: Clusters
  readonly log: Log
}

/** The clusters of all targets, each connected once. */
export class ConnectedClusters {
  readonly #options: ConnectedClustersOptions
  readonly #connecting = new Map<TargetName, Promise<Cluster>>()
  readonly #connected = new Map<TargetName, Cluster>()
  /** What was applied to each target, by app: an engine that is connected anew takes what nobody told it of for orphans. */
  readonly #wanted = new Map<TargetName, Map<string, DesiredApp>>()
  #open = false

  constructor(options: ConnectedClustersOptions) {
    this.#options = options
  }

  /** Begins to converge on every target; one that cannot be opened is logged and stops nobody else. */
  async open(): Promise<void> {
    this.#open = true
    for (const { name } of await this.#options.store.listTargets()) {
      const early = this.#connected.get(name)
      const opened = early === undefined ? this.connected(name) : this.#openEngine(name, early)
      opened.catch((error: unknown) => {
        this.#options.log.error({ target: name, error: String(error) }, 'a target does not open')
      })
    }
  }

  /** @throws FairwayError NOT_FOUND where no such target was added */
  connected(name: TargetName): Promise<Cluster> {
    const known = this.#connecting.get(name)
    if (known !== undefined) return known
    const connecting = this.#connect(name)
    this.#connecting.set(name, connecting)
    connecting.catch(() => this.#connecting.delete(name))
    return connecting
  }

  /** Holds for every engine that the target has from now on, also under other credentials. */
  async apply(name: TargetName, desired: DesiredApp): Promise<void> {
    const wanted = this.#wanted.get(name) ?? new Map<string, DesiredApp>()
    this.#wanted.set(name, wanted.set(refKey(desired.ref), desired))
    await (await this.connected(name)).engine.apply(desired)
  }

  async remove(name: TargetName, ref: AppRef): Promise<void> {
    this.#wanted.get(name)?.delete(refKey(ref))
    await (await this.connected(name)).engine.remove(ref)
  }

  /** Null until it is connected. */
  engineNow(name: TargetName): Engine | null {
    return this.#connected.get(name)?.engine ?? null
  }

  /** Lets go of a target that was removed or changed; the next use connects anew. */
  async forget(name: TargetName): Promise<void> {
    const cluster = this.#connected.get(name)
    this.#connecting.delete(name)
    this.#connected.delete(name)
    await cluster?.nodes.close()
    await cluster?.engine.close()
  }

  async close(): Promise<void> {
    for (const name of [...this.#connected.keys()]) await this.forget(name)
  }

  async #connect(name: TargetName): Promise<Cluster> {
    const record = await this.#options.store.getTarget(name)
    if (record === null) throw unknownTarget(name)
    const cluster = await this.#options.clusters.connect(record)
    this.#connected.set(name, cluster)
    for (const desired of this.#wanted.get(name)?.values() ?? [])
      await cluster.engine.apply(desired)
    // What should run is told before anything is opened; a target that is added later is open from its first use.
    if (this.#open) await this.#openEngine(name, cluster)
    return cluster
  }

  async #openEngine(name: TargetName, { engine, nodes }: Cluster): Promise<void> {
    nodes.open()
    try {
      await engine.open()
    } catch (error) {
      this.#options.log.error({ target: name, error: String(error) }, 'a target does not open')
    }
  }
}

export function unknownTarget(name: TargetName): FairwayError {
  return new FairwayError('NOT_FOUND', `there is no target ${name}`, {
    hint: `Add its cluster with \`fairway target add ${name} --kubeconfig FILE\`.`,
  })
}
