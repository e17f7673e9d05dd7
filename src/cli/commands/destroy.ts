import { FairwayError } from '../../model/errors.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { readLine } from '../prompt.ts'

export const destroy: Command = {
  name: 'destroy',
  summary: 'stop an app and remove everything of it: releases, values, logs',
  usage: '[NAME]',
  details: ['Asks for the name of the app; --yes skips the question. Nothing brings it back.'],
  examples: ['fairway destroy shop', 'fairway destroy --app shop --env staging --yes'],
  options: [{ name: 'yes', short: 'y', summary: 'do not ask' }],
  positionals: { min: 0, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, io, out } = context
  const named = args.positionals[0]
  const client = context.client()
  const ref =
    named === undefined ? await context.ref() : { app: named, environment: context.environment() }
  if (!args.flag('yes')) {
    // Fails here for an app that does not exist, before anybody types its name.
    const { instances } = await client.getApp(ref)
    if (io.stdin.isTTY !== true) {
      throw new FairwayError('INVALID_REQUEST', 'destroy asks first, and there is no terminal', {
        hint: 'Say --yes.',
      })
    }
    const running = instances.length === 0 ? '' : ` and its ${instances.length} instances`
    const question = `This removes ${ref.app} (${ref.environment})${running} for good. Type its name: `
    const answer = (await readLine(io, question, { hidden: false })).trim()
    if (answer !== ref.app) {
      throw new FairwayError('INVALID_REQUEST', 'that is another name: nothing was removed', {
        hint: '',
      })
    }
  }
  out.status(`  destroying ${ref.app}`)
  await client.destroyApp(ref)
  if (out.json) out.object({ destroyed: { app: ref.app, environment: ref.environment } })
  else out.note(`${ref.app} (${ref.environment}) is gone.`)
  return 0
}
