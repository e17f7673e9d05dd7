import { backoffMs } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { Notice, NoticeSource } from '../model/notices.ts'
import type { ClusterClient } from './cluster-client.ts'
import { KINDS } from './kinds.ts'
import { NOTICES_ANNOTATION, noticesText } from './node-notices.ts'

export interface NodeAgentOptions {
  readonly client: ClusterClient
  /** The node that this program runs on. */
  readonly node: string
  readonly source: NoticeSource
  readonly clock: Clock
  readonly log: Log
}

const LONGEST_WAIT_MS = 5_000

/**
 * Writes what the provider announces for this machine on its own Node, where the control plane sees it. Reports only what changed, and at the start; until it has
 * been taken it is reported again. Ends when the signal aborts.
 */
export async function runNodeAgent(options: NodeAgentOptions, signal: AbortSignal): Promise<void> {
  const { source, log, node } = options
  for await (const notices of source.notices(signal)) {
    await report(options, notices, signal)
    if (signal.aborted) return
    log.info({ node, notices: notices.map(({ kind }) => kind) }, 'notices are reported')
  }
}

// Private

async function report(
  { client, node, clock, log }: NodeAgentOptions,
  notices: readonly Notice[],
  signal: AbortSignal,
): Promise<void> {
  const annotations = { [NOTICES_ANNOTATION]: noticesText(notices) }
  for (let failures = 1; !signal.aborted; failures += 1) {
    try {
      const name = { kind: KINDS.Node, namespace: null, name: node }
      await client.mergePatch(name, { metadata: { annotations } })
      return
    } catch (error) {
      log.warn({ node, error: String(error) }, 'notices cannot be reported')
      const wait = backoffMs(failures, { firstMs: 500, maxMs: LONGEST_WAIT_MS })
      await clock.sleep(wait, signal).catch(() => undefined)
    }
  }
}
