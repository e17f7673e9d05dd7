/**
 * What the provider of a machine says of its future. `terminate`: it goes away, in minutes. `scheduled`: it is restarted or retired at a known time, in hours or
 * weeks. `rebalance`: it is likelier than others to go away; nothing is certain.
 */
export type NoticeKind = 'terminate' | 'scheduled' | 'rebalance'

export interface Notice {
  /** Name of the node in its cluster. */
  readonly node: string
  readonly kind: NoticeKind
  /** When it was given, or first seen, in milliseconds since the epoch. */
  readonly at: number
  /** When the machine is taken away, in milliseconds since the epoch; null where nobody says. */
  readonly deadline: number | null
}

/** Where termination notices come from: one implementation for each provider's format. */
export interface NoticeSource {
  /**
   * All notices that stand for this machine, at once and after every change; an empty list once they are withdrawn. A source that does not answer changes
   * nothing: it is asked again. Ends, without an error, when the signal aborts.
   */
  notices(signal: AbortSignal): AsyncIterable<readonly Notice[]>
}
