import type { DeployEventBody } from '../contract/rollout.ts'
import { ClientError } from './client-error.ts'
import type { FairwayClient, Ref } from './fairway-client.ts'

export interface FollowOptions {
  readonly signal: AbortSignal
  /** Told when the connection was lost and the stream is picked up again. */
  readonly onLost?: (error: ClientError) => void
  /** How long an unreachable server is waited for, in ms; the rollout itself goes on or is resumed. Default 2 minutes. */
  readonly patienceMs?: number
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
}

const RETRY_MS = 500

/**
 * The events of a deploy or rollback up to its `end`, across lost connections: after a loss the rollout is asked for its events
 * again, which are replayed from the beginning, and those seen before are left out.
 * @throws ClientError what the server says; SERVER_UNREACHABLE where it stays away too long
 */
export async function* followRollout(
  client: FairwayClient,
  ref: Ref,
  first: AsyncIterable<DeployEventBody>,
  options: FollowOptions,
): AsyncGenerator<DeployEventBody, void, undefined> {
  const { signal, patienceMs = 120_000 } = options
  const seen = new SeenEvents()
  let stream = first
  let rollout: string | null = null
  let waited = 0
  for (;;) {
    try {
      for await (const event of stream) {
        waited = 0
        if (event.type === 'rollout') rollout = event.rollout.id
        if (!seen.add(event)) continue
        yield event
        if (event.type === 'end') return
      }
      throw new ClientError('SERVER_UNREACHABLE', `${client.server} cut the stream`)
    } catch (error) {
      if (!isLost(error) || rollout === null || waited >= patienceMs) throw error
      if (waited === 0) options.onLost?.(error)
    }
    await options.sleep(RETRY_MS, signal)
    waited += RETRY_MS
    seen.startReplay()
    stream = client.rolloutEvents(ref, rollout, signal)
  }
}

/** What was seen before a connection was lost, so that a replay from the beginning brings only what is new. */
class SeenEvents {
  readonly #steps = new Set<string>()
  #outputAt = -1
  #outputSeenUntil = -1

  startReplay(): void {
    this.#outputSeenUntil = this.#outputAt
  }

  /** False for an event that was seen before. */
  add(event: DeployEventBody): boolean {
    switch (event.type) {
      case 'step': {
        const { name, status, summary } = event.step
        const key = `${name} ${status} ${summary}`
        if (this.#steps.has(key)) return false
        this.#steps.add(key)
        return true
      }
      case 'output':
        if (event.at <= this.#outputSeenUntil) return false
        this.#outputAt = event.at
        return true
      default:
        return true
    }
  }
}

function isLost(error: unknown): error is ClientError {
  return (
    error instanceof ClientError && error.code === 'SERVER_UNREACHABLE' && error.status === null
  )
}
