import { wholeNumber } from '../arguments.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { follow } from '../follow.ts'

export const rollback: Command = {
  name: 'rollback',
  summary: 'go back to an earlier release without baking it again',
  usage: '[RELEASE]',
  details: [
    'Without a number the release before the active one. Image, app file and configuration of that release run again; traffic moves when they are ready.',
  ],
  examples: ['fairway rollback', 'fairway rollback 12 --app shop'],
  options: [],
  positionals: { min: 0, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const text = context.args.positionals[0]
  const to = text === undefined ? null : wholeNumber(text.replace(/^v/, ''), 'RELEASE', 1)
  const startedAt = context.now
  const client = context.client()
  const ref = await context.ref()
  const controller = new AbortController()
  const events = client.rollbackApp(ref, to, controller.signal)
  return follow(context, { client, ref, events, startedAt, controller })
}
