import { FairwayError } from '../../model/errors.ts'
import type { Command } from '../command.ts'

export const open: Command = {
  name: 'open',
  summary: 'open the app in the browser',
  usage: '',
  details: ['The URL is printed in any case; without a browser that is all.'],
  examples: ['fairway open', 'fairway open --app shop --env staging'],
  options: [],
  positionals: { min: 0, max: 0 },
  run: async (context) => {
    const { out, programs } = context
    const client = context.client()
    const ref = await context.ref()
    const url = (await client.getApp(ref)).urls[0]
    if (url === undefined) {
      throw new FairwayError('NOT_FOUND', `${ref.app} has no URL: no process of it has a route`)
    }
    const opened = await programs.openBrowser(url)
    if (out.json) out.object({ url, opened })
    else out.line(url)
    return 0
  },
}
