import type { TeamBody } from '../../contract/team-endpoints.ts'
import { FairwayError } from '../../model/errors.ts'
import { parseAppName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { subcommand } from '../subcommand.ts'
import { tableLines } from '../table.ts'

export const team: Command = {
  name: 'team',
  summary: 'name sets of apps that are granted together',
  usage: 'list|add|remove|delete',
  details: ['A grant with --team reaches the apps that the team has at that moment.'],
  examples: [
    'fairway team add payments shop till',
    'fairway team remove payments till',
    'fairway team list',
  ],
  options: [],
  subcommands: [
    { name: 'list', usage: '', summary: 'list teams and their apps' },
    { name: 'add', usage: 'TEAM APP…', summary: 'add apps; makes the team where it is missing' },
    { name: 'remove', usage: 'TEAM APP…', summary: 'take apps out of the team' },
    { name: 'delete', usage: 'TEAM', summary: 'remove a team that no grant names' },
  ],
  positionals: { min: 1, max: 1000 },
  run,
}

async function run(context: Context): Promise<number> {
  const { name, words } = subcommand(team, context.args)
  const client = context.client()
  if (name === 'list') return show(context, await client.listTeams())
  const [wanted, ...names] = words
  if (wanted === undefined || (name === 'delete' ? names.length > 0 : names.length === 0)) {
    const usage = name === 'delete' ? 'one TEAM' : 'a TEAM and at least one APP'
    throw new FairwayError('INVALID_REQUEST', `team ${name} needs ${usage}`)
  }
  if (name === 'delete') {
    await client.removeTeam(wanted)
    if (context.out.json) context.out.object({ deleted: wanted })
    else context.out.note(`Deleted ${wanted}.`)
    return 0
  }
  const apps = names.map(parseAppName)
  const changes = name === 'add' ? { add: apps, remove: [] } : { add: [], remove: apps }
  return show(context, [await client.changeTeam(wanted, changes)])
}

function show({ out }: Context, teams: readonly TeamBody[]): number {
  if (out.json) out.object({ teams })
  else {
    const rows = teams.map(({ name, apps }) => [name, apps.join(', ')])
    for (const line of tableLines(['TEAM', 'APPS'], rows, out.width)) out.line(line)
  }
  return 0
}
