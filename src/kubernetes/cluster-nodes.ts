import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { isName, parseProcessName, refKey, type AppRef, type ProcessName } from '../model/names.ts'
import type { ClusterNodes, DrainEvent, DrainOptions, NodeView } from '../model/nodes.ts'
import type { ClusterClient } from './cluster-client.ts'
import { drain } from './drain.ts'
import { at, listAt, named, recordAt, textAt, type Json } from './json-value.ts'
import { KINDS } from './kinds.ts'
import { labelOf, LABELS, ownedBy, refOf } from './labels.ts'
import { CORDONED_ANNOTATION, nodeNotices, noticesMark } from './node-notices.ts'
import { NoticeKeeper } from './notice-keeper.ts'
import { SPOT_LABELS } from './placement.ts'

export interface ClusterNodesOptions {
  readonly client: ClusterClient
  /** Name of this installation. */
  readonly owner: string
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

/** The nodes of one cluster: what runs there, what is known of their future, and moving copies away. */
export class KubernetesNodes implements ClusterNodes {
  readonly #options: ClusterNodesOptions
  readonly #keeper: NoticeKeeper

  constructor(options: ClusterNodesOptions) {
    this.#options = options
    this.#keeper = new NoticeKeeper(options)
  }

  async list(): Promise<readonly NodeView[]> {
    const { client, owner } = this.#options
    const nodes = await client.list(KINDS.Node, { namespace: null })
    const pods = await client.list(KINDS.Pod, { namespace: null, labels: ownedBy(owner) })
    const here = copiesByNode(pods.items)
    return nodes.items
      .map((node) => nodeView(node, here.get(textAt(node, 'metadata', 'name'))?.values() ?? []))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async *drain(
    node: string,
    { timeoutMs, localData }: DrainOptions,
    signal: AbortSignal,
  ): AsyncGenerator<DrainEvent> {
    const { client, owner, clock } = this.#options
    const until = clock.elapsed() + timeoutMs
    await this.#known(node)
    await client.mergePatch(nameOf(node), { spec: { unschedulable: true } })
    yield { type: 'cordoned', at: clock.now(), node }
    yield* drain({ client, clock, node, owner, until, localData, deleteAt: null }, signal)
  }

  async uncordon(node: string): Promise<void> {
    const { notices } = nodeNotices(await this.#known(node))
    const mark = notices.length === 0 ? null : noticesMark(notices)
    await this.#options.client.mergePatch(nameOf(node), {
      metadata: { annotations: { [CORDONED_ANNOTATION]: mark } },
      spec: { unschedulable: null },
    })
  }

  open(): void {
    this.#keeper.open()
  }

  close(): Promise<void> {
    return this.#keeper.close()
  }

  // Private

  async #known(node: string): Promise<Json> {
    const found = await this.#options.client.get(nameOf(node))
    if (found !== null) return found
    throw new FairwayError('NOT_FOUND', `there is no node ${node}`, {
      hint: '`fairway nodes --target NAME` lists them.',
    })
  }
}

// Private

interface Copies {
  readonly ref: AppRef
  readonly process: ProcessName
  readonly count: number
}

function nameOf(node: string) {
  return { kind: KINDS.Node, namespace: null, name: node }
}

function copiesByNode(pods: readonly Json[]): ReadonlyMap<string, ReadonlyMap<string, Copies>> {
  const byNode = new Map<string, Map<string, Copies>>()
  for (const pod of pods) {
    const node = textAt(pod, 'spec', 'nodeName')
    const ref = refOf(pod)
    const process = labelOf(pod, LABELS.process)
    const phase = textAt(pod, 'status', 'phase')
    if (node === '' || ref === null || !isName(process)) continue
    if (phase === 'Succeeded' || phase === 'Failed') continue
    const here = byNode.get(node) ?? new Map<string, Copies>()
    const key = `${refKey(ref)} ${process}`
    const count = (here.get(key)?.count ?? 0) + 1
    byNode.set(node, here.set(key, { ref, process: parseProcessName(process), count }))
  }
  return byNode
}

function nodeView(node: Json, copies: Iterable<Copies>): NodeView {
  const labels = recordAt(node, 'metadata', 'labels')
  const ready = named(listAt(node, 'status', 'conditions'), 'type', 'Ready')
  return {
    name: textAt(node, 'metadata', 'name'),
    ready: textAt(ready, 'status') === 'True',
    schedulable: at(node, 'spec', 'unschedulable') !== true,
    spot: SPOT_LABELS.some(([key, value]) => textAt(labels, key) === value),
    copies: [...copies].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)),
    notices: nodeNotices(node).notices.map(({ kind, at: since, deadline }) => ({
      kind,
      at: since,
      deadline,
    })),
  }
}

function keyOf({ ref, process }: Copies): string {
  return `${refKey(ref)} ${process}`
}
