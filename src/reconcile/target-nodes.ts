import type { TargetName } from '../model/names.ts'
import type { DrainEvent, DrainOptions, Nodes, NodeView } from '../model/nodes.ts'
import type { ConnectedClusters } from './connected-clusters.ts'

/** The nodes of every target, each asked of its own cluster. */
export class TargetNodes implements Nodes {
  readonly #clusters: ConnectedClusters

  constructor(clusters: ConnectedClusters) {
    this.#clusters = clusters
  }

  async list(target: TargetName): Promise<readonly NodeView[]> {
    return (await this.#clusters.connected(target)).nodes.list()
  }

  async drain(
    target: TargetName,
    node: string,
    options: DrainOptions,
    signal: AbortSignal,
  ): Promise<AsyncIterable<DrainEvent>> {
    return (await this.#clusters.connected(target)).nodes.drain(node, options, signal)
  }

  async uncordon(target: TargetName, node: string): Promise<void> {
    await (await this.#clusters.connected(target)).nodes.uncordon(node)
  }
}
