import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { ClusterClient } from './cluster-client.ts'
import { drain } from './drain.ts'
import { at, textAt, type Json } from './json-value.ts'
import { KINDS } from './kinds.ts'
import { CORDONED_ANNOTATION, nodeNotices, noticesMark, type NodeNotices } from './node-notices.ts'
import { planNotices, type NoticePlan } from './plan-notices.ts'
import { WatchCache, type Cached } from './watch-cache.ts'

export interface NoticeKeeperOptions {
  readonly client: ClusterClient
  readonly owner: string
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  /** Copies that are left so long before a machine goes away are told to stop; default 45,000 ms. */
  readonly marginMs?: number
}

const MARGIN_MS = 45_000
/** What a termination without a time is given: the two minutes that most providers promise. */
const UNSAID_MS = 120_000
const TRY_AGAIN_MS = 5_000
const LOOK_AGAIN_MS = 1_000
/** A drain that ended with something left is begun anew, for what held it may be gone. */
const LONGEST_DRAIN_MS = 600_000

/** Watches the nodes of a cluster, and moves copies away in time from those whose machines are about to go. */
export class NoticeKeeper {
  readonly #options: NoticeKeeperOptions
  readonly #ended = new AbortController()
  readonly #nodes: WatchCache<NodeFacts>
  /** Nodes that somebody is at work on. */
  readonly #busy = new Map<string, Promise<void>>()
  /** The notices for which a node was drained to the end. */
  readonly #done = new Map<string, string>()
  #following: Promise<void> | null = null

  constructor(options: NoticeKeeperOptions) {
    this.#options = options
    const { client, clock, random, log } = options
    this.#nodes = new WatchCache<NodeFacts>({
      client,
      kind: KINDS.Node,
      labels: '',
      optional: true,
      trim: nodeFacts,
      onChange: (_before, now) => {
        if (now !== null) this.#wake(now.name)
      },
      // Whether the cluster answers is told by its engine.
      onContact: () => undefined,
      clock,
      random,
      log,
    })
  }

  open(): void {
    this.#following ??= this.#nodes.follow(this.#ended.signal)
  }

  async close(): Promise<void> {
    this.#ended.abort()
    await this.#following
    await Promise.all(this.#busy.values())
  }

  // Private

  /** One node is worked on by one loop, which looks at its newest state until there is nothing to do. */
  #wake(name: string): void {
    if (this.#busy.has(name) || this.#ended.signal.aborted) return
    const plan = this.#plan(name)
    if (plan === null || (plan.wanted === 'nothing' && plan.againAt === null)) return
    const work = this.#work(name).then((settled) => {
      this.#busy.delete(name)
      // What came while it was ending.
      if (this.#nodes.get('', name)?.resourceVersion !== settled) this.#wake(name)
    })
    this.#busy.set(name, work)
  }

  #plan(name: string): NoticePlan | null {
    const facts = this.#nodes.get('', name)
    return facts === null ? null : planNotices(facts, this.#options.clock.now())
  }

  /** The version of the node for which there is nothing more to do. Never rejects. */
  async #work(name: string): Promise<string> {
    const { signal } = this.#ended
    const { clock } = this.#options
    for (;;) {
      const plan = this.#plan(name)
      const version = this.#nodes.get('', name)?.resourceVersion ?? ''
      if (plan === null || signal.aborted) return version
      try {
        const settled = await this.#act(name, plan)
        if (settled && plan.againAt === null) return version
        if (settled) await this.#until(plan.againAt ?? 0, name)
      } catch (error) {
        this.#warn(name, error)
        await clock.sleep(TRY_AGAIN_MS, signal).catch(() => undefined)
      }
    }
  }

  #warn(node: string, error: unknown): void {
    if (this.#ended.signal.aborted) return
    this.#options.log.warn({ node, error: String(error) }, 'a notice waits')
  }

  /** True where nothing is to be done until something changes. */
  async #act(name: string, { wanted, deadline }: NoticePlan): Promise<boolean> {
    const facts = this.#nodes.get('', name)
    if (facts === null || wanted === 'nothing') return true
    if (wanted === 'open') return this.#setCordoned(facts, null)
    const mark = noticesMark(facts.notices)
    if (facts.schedulable || (facts.cordonedFor !== '' && facts.cordonedFor !== mark))
      return this.#setCordoned(facts, mark)
    if (wanted === 'cordon' || this.#done.get(name) === mark) return true
    if (await this.#drain(name, mark, deadline)) this.#done.set(name, mark)
    else await this.#options.clock.sleep(LOOK_AGAIN_MS, this.#ended.signal)
    return false
  }

  async #setCordoned(facts: NodeFacts, mark: string | null): Promise<false> {
    const { client, log } = this.#options
    const kinds = [...new Set(facts.notices.map(({ kind }) => kind))]
    const node = await client.mergePatch(
      { kind: KINDS.Node, namespace: null, name: facts.name },
      {
        metadata: { annotations: { [CORDONED_ANNOTATION]: mark } },
        spec: { unschedulable: mark === null ? null : true },
      },
    )
    this.#nodes.put(node)
    const what = mark === null ? 'a node is open again: its notices are gone' : 'a node is cordoned'
    log.info({ node: facts.name, notices: kinds }, what)
    return false
  }

  /** True where nothing is left. Ends early where the notices change. */
  async #drain(name: string, mark: string, deadline: number | null): Promise<boolean> {
    const { client, owner, clock, log, marginMs = MARGIN_MS } = this.#options
    const leftMs = deadline === null ? UNSAID_MS : deadline - clock.now()
    const now = clock.elapsed()
    const until = now + Math.min(Math.max(leftMs, 0) + marginMs, LONGEST_DRAIN_MS)
    const deleteAt = now + Math.max(0, leftMs - marginMs)
    const input = { client, clock, node: name, owner, localData: true, until, deleteAt }
    log.info({ node: name, leftSeconds: Math.round(leftMs / 1000) }, 'a node is drained')
    for await (const event of drain(input, this.#ended.signal)) {
      if (event.type === 'pod' && event.state !== 'skipped')
        log.info({ node: name, pod: event.pod, text: event.text }, `drain: ${event.state}`)
      const facts = this.#nodes.get('', name)
      if (facts === null || facts.schedulable || noticesMark(facts.notices) !== mark) return false
      if (event.type === 'end') {
        log.info({ node: name, left: event.left }, 'a drain ended')
        return event.drained
      }
    }
    return false
  }

  /** Until that time, or until the node's notices are others. */
  async #until(time: number, name: string): Promise<void> {
    const { clock } = this.#options
    const before = this.#nodes.get('', name)
    const { signal } = this.#ended
    while (clock.now() < time && !signal.aborted) {
      const facts = this.#nodes.get('', name)
      if (facts === null || facts.resourceVersion !== before?.resourceVersion) return
      const ms = Math.min(time - clock.now(), TRY_AGAIN_MS)
      await clock.sleep(ms, signal).catch(() => undefined)
    }
  }
}

interface NodeFacts extends Cached, NodeNotices {
  readonly schedulable: boolean
}

function nodeFacts(node: Json): NodeFacts {
  return {
    namespace: '',
    name: textAt(node, 'metadata', 'name'),
    uid: textAt(node, 'metadata', 'uid'),
    resourceVersion: textAt(node, 'metadata', 'resourceVersion'),
    schedulable: at(node, 'spec', 'unschedulable') !== true,
    ...nodeNotices(node),
  }
}
