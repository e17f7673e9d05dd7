import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { FairwayError } from '../../model/errors.ts'
import { DATA_OPTION } from '../data-option.ts'

export const down: Command = {
  name: 'down',
  summary: 'stop server and router on this machine',
  usage: '',
  details: [
    'Instances of apps go on and are found again by the next `fairway up`; --apps stops them too. With --keep-router requests go on as well: only the server stops.',
  ],
  examples: ['fairway down', 'fairway down --apps', 'fairway down --keep-router'],
  options: [
    { name: 'apps', summary: 'stop the instances of all apps as well' },
    { name: 'keep-router', summary: 'stop the server alone' },
    DATA_OPTION,
  ],
  positionals: { min: 0, max: 0 },
  run,
}

async function run({ args, out, programs }: Context): Promise<number> {
  const options = {
    dataDir: args.value('data'),
    apps: args.flag('apps'),
    keepRouter: args.flag('keep-router'),
  }
  if (options.apps && options.keepRouter) {
    throw new FairwayError('INVALID_REQUEST', 'either --apps or --keep-router, not both')
  }
  const { stopped } = await programs.platform.down(options, (line) => {
    out.note(line)
  })
  if (out.json) out.object({ stopped })
  else out.note(stopped.length === 0 ? 'Nothing was running.' : `Stopped: ${stopped.join(', ')}.`)
  return 0
}
