import { FairwayError } from '../../model/errors.ts'
import { parseAppName, parseEnvironmentName, parseProcessName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { readLine } from '../prompt.ts'

export const deleteCommand: Command = {
  name: 'delete',
  summary: 'delete what was applied from manifests',
  usage: 'ENVIRONMENT/APP[/PROCESS]',
  details: [
    'Deletes an app that `fairway apply` brought to a cluster, with its namespace, or one process of it; disks and values of the other processes stay. Apps that the server deploys are removed with `fairway destroy`.',
  ],
  examples: [
    'fairway delete production/shop --target prod',
    'fairway delete production/shop/worker --target prod --yes',
  ],
  options: [
    { name: 'target', value: 'NAME', summary: 'cluster; always needed' },
    { name: 'yes', short: 'y', summary: 'do not ask' },
  ],
  positionals: { min: 1, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const [environment = '', app = '', process, extra] = (args.positionals[0] ?? '').split('/')
  if (extra !== undefined || app === '')
    throw new FairwayError(
      'INVALID_REQUEST',
      'delete needs ENVIRONMENT/APP or ENVIRONMENT/APP/PROCESS',
    )
  const target = args.value('target')
  if (target === undefined) throw new FairwayError('INVALID_REQUEST', 'delete needs --target')
  const ref = { app: parseAppName(app), environment: parseEnvironmentName(environment) }
  if (process !== undefined) parseProcessName(process)
  await confirm(context, process === undefined ? app : process)
  const query = process === undefined ? {} : { process: parseProcessName(process) }
  const { changes } = await context.client().removeManifests(target, ref, query)
  if (out.json) out.object({ target, changes })
  else for (const { object, action } of changes) out.line(`${object} ${action}`)
  return 0
}

async function confirm({ args, io }: Context, name: string): Promise<void> {
  if (args.flag('yes')) return
  if (io.stdin.isTTY !== true)
    throw new FairwayError('INVALID_REQUEST', 'delete asks before it deletes; --yes says yes')
  const typed = (await readLine(io, `Type ${name} to delete it: `, { hidden: false })).trim()
  if (typed !== name) throw new FairwayError('INVALID_REQUEST', 'nothing was deleted')
}
