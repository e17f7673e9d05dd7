import type { AppRef, ProcessName, TargetName } from './names.ts'
import type { Notice } from './notices.ts'

/** A machine of a cluster, as people see it. */
export interface NodeView {
  readonly name: string
  readonly ready: boolean
  /** False = cordoned: what runs there stays, nothing new comes. */
  readonly schedulable: boolean
  /** True: one that its provider may take away, by the labels of clouds and autoscalers. */
  readonly spot: boolean
  /** Copies of this installation's apps. */
  readonly copies: readonly {
    readonly ref: AppRef
    readonly process: ProcessName
    readonly count: number
  }[]
  readonly notices: readonly Omit<Notice, 'node'>[]
}

export interface DrainOptions {
  /** After this long it ends with what is left, in milliseconds. */
  readonly timeoutMs: number
  /** Also what loses data kept on the node, and what nothing starts again elsewhere. */
  readonly localData: boolean
}

/** What happens while a node is drained, for people and scripts. */
export type DrainEvent =
  | { readonly type: 'cordoned'; readonly at: number; readonly node: string }
  | {
      readonly type: 'pod'
      readonly at: number
      /** `namespace/name`. */
      readonly pod: string
      /** `evicting`: told to go. `blocked`: may not go now, tried again. `waiting`: let run to its end. `skipped`: stays. `deleted`: told to go without its budget's consent. */
      readonly state: 'evicting' | 'blocked' | 'waiting' | 'skipped' | 'deleted' | 'gone'
      /** For people: whose it is, which budget holds it. */
      readonly text: string
    }
  | {
      readonly type: 'end'
      readonly at: number
      /** True: nothing is left but what stays on every node. */
      readonly drained: boolean
      readonly left: readonly { readonly pod: string; readonly text: string }[]
    }

/** The nodes of one connected cluster. Unknown nodes are FairwayError NOT_FOUND. */
export interface ClusterNodes {
  list(): Promise<readonly NodeView[]>
  /** Cordons at once, evicts what may be moved as its budgets allow. Ends with `end`; an aborted signal leaves the node cordoned. */
  drain(node: string, options: DrainOptions, signal: AbortSignal): AsyncIterable<DrainEvent>
  /** Copies may come again; notices that stand are overruled until they change. */
  uncordon(node: string): Promise<void>
  /** Begins to act on notices. */
  open(): void
  close(): Promise<void>
}

/** The nodes of every target. Unknown targets and nodes are FairwayError NOT_FOUND. */
export interface Nodes {
  list(target: TargetName): Promise<readonly NodeView[]>
  drain(
    target: TargetName,
    node: string,
    options: DrainOptions,
    signal: AbortSignal,
  ): Promise<AsyncIterable<DrainEvent>>
  uncordon(target: TargetName, node: string): Promise<void>
}
