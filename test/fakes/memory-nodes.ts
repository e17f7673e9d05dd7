import { FairwayError } from '../../src/model/errors.ts'
import { parseTargetName, type TargetName } from '../../src/model/names.ts'
import type { DrainEvent, Nodes, NodeView } from '../../src/model/nodes.ts'

/** One node `node1` of the target `prod`; on it nothing happens. */
export class MemoryNodes implements Nodes {
  #schedulable = true

  async list(target: TargetName): Promise<readonly NodeView[]> {
    this.#expect(target, 'node1')
    const { schedulable } = { schedulable: this.#schedulable }
    const notices = [{ kind: 'terminate', at: 1, deadline: 2 } as const]
    return Promise.resolve([
      { name: 'node1', ready: true, schedulable, spot: true, copies: [], notices },
    ])
  }

  async drain(target: TargetName, node: string): Promise<AsyncIterable<DrainEvent>> {
    this.#expect(target, node)
    this.#schedulable = false
    return Promise.resolve(drained(node))
  }

  async uncordon(target: TargetName, node: string): Promise<void> {
    this.#expect(target, node)
    this.#schedulable = true
    return Promise.resolve()
  }

  #expect(target: TargetName, node: string): void {
    if (target !== parseTargetName('prod') || node !== 'node1')
      throw new FairwayError('NOT_FOUND', `there is no node ${node} of ${target}`)
  }
}

async function* drained(node: string): AsyncGenerator<DrainEvent> {
  yield { type: 'cordoned', at: 1, node }
  yield await Promise.resolve({ type: 'end', at: 2, drained: true, left: [] })
}
