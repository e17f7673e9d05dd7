import { followRollout } from '../client/rollout-stream.ts'
import type { FairwayClient } from '../client/fairway-client.ts'
import type { DeployEventBody } from '../contract/rollout.ts'
import type { AppRef } from '../model/names.ts'
import type { Context } from './context.ts'
import { failure } from './failure.ts'
import { report } from './report.ts'
import { liveLine, RolloutView } from './rollout-view.ts'

/** Exit code of a command that Ctrl-C ended: 128 + SIGINT. */
export const INTERRUPTED = 130

export interface FollowedStream {
  readonly client: FairwayClient
  readonly ref: AppRef
  readonly events: AsyncIterable<DeployEventBody>
  readonly startedAt: number
  readonly controller: AbortController
  /** Called once the server has accepted the rollout. */
  readonly onAccepted?: () => void
}

/** Shows a rollout to its end and resolves to the exit code. Ctrl-C leaves it going on and says so. */
export async function follow(context: Context, stream: FollowedStream): Promise<number> {
  const { io, out } = context
  const { client, ref, controller } = stream
  const view = new RolloutView(out, io)
  let accepted = false
  const stopListening = io.onInterrupt(() => {
    controller.abort()
  })
  try {
    const events = followRollout(client, ref, stream.events, {
      signal: controller.signal,
      sleep: (ms, signal) => io.clock.sleep(ms, signal),
      onLost: (error) => {
        if (!out.json) out.problem(`${error.message}; waiting for it, the rollout goes on`)
      },
    })
    for await (const event of events) {
      if (!accepted) stream.onAccepted?.()
      accepted = true
      view.show(event)
      if (event.type === 'end') {
        view.close()
        return ended(context, event, view, stream.startedAt)
      }
    }
    return 1
  } catch (error) {
    if (!controller.signal.aborted) throw error
    view.close()
    out.problem(interruptedText(ref, accepted))
    return INTERRUPTED
  } finally {
    stopListening()
    view.close()
  }
}

function ended(
  context: Context,
  event: Extract<DeployEventBody, { type: 'end' }>,
  view: RolloutView,
  startedAt: number,
): number {
  const { out } = context
  const { rollout, urls } = event
  switch (rollout.status) {
    case 'succeeded':
      if (out.json) return 0
      out.note(out.paint('bold', liveLine(rollout, startedAt, context.now)))
      for (const url of urls) out.line(url)
      return 0
    case 'superseded': {
      const text = `this deploy of ${rollout.ref.app} was superseded by a newer one`
      const superseded = failure('SUPERSEDED', text)
      report(superseded, out)
      return superseded.exit
    }
    default: {
      const { code, message, hint, diagnosis } = rollout.failure ?? {
        code: 'ROLLOUT_FAILED',
        message: `the rollout ended as ${rollout.status}`,
        hint: null,
        diagnosis: [],
      }
      const before = [...view.hiddenOutput, ...diagnosis]
      const failed = failure(code, message, { hint, before })
      report(failed, out)
      return failed.exit
    }
  }
}

function interruptedText(ref: AppRef, accepted: boolean): string {
  const options = `--app ${ref.app}${ref.environment === 'production' ? '' : ` --env ${ref.environment}`}`
  return accepted
    ? `The rollout goes on. Watch it with \`fairway ps -w ${options}\`; \`fairway releases ${options}\` shows how it ended.`
    : `Interrupted. Whether the server took it shows \`fairway releases ${options}\`.`
}
