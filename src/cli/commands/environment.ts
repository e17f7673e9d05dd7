import type { ProtectionBody } from '../../contract/team-endpoints.ts'
import { FairwayError } from '../../model/errors.ts'
import { parseEnvironmentName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { ageText, durationMs } from '../quantity.ts'
import { subcommand } from '../subcommand.ts'
import { tableLines } from '../table.ts'
import { printable } from '../text-width.ts'

export const environment: Command = {
  name: 'environment',
  summary: 'say which environments need a second person for every rollout',
  usage: 'list|protect|unprotect',
  details: [
    'A rollout in a protected environment waits until another person with the role operator or admin there approves it: `fairway approve`. Operators roll back without waiting. Running, exec, scaling, destroying and changing configuration need the role operator there.',
  ],
  examples: [
    'fairway environment protect production --wait 24h',
    'fairway environment list',
    'fairway environment unprotect production',
  ],
  options: [
    { name: 'wait', value: 'TIME', summary: 'protect: how long a rollout waits (default: 24h)' },
  ],
  subcommands: [
    { name: 'list', usage: '', summary: 'list protected environments' },
    { name: 'protect', usage: 'NAME', summary: 'let rollouts wait for approval' },
    { name: 'unprotect', usage: 'NAME', summary: 'let them begin at once again' },
  ],
  positionals: { min: 1, max: 2 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const { name, words } = subcommand(environment, args)
  const client = context.client()
  if (name === 'list') return show(context, await client.listProtections())
  const [word] = words
  if (word === undefined) {
    throw new FairwayError('INVALID_REQUEST', `environment ${name} needs a NAME`)
  }
  const wanted = parseEnvironmentName(word)
  if (name === 'protect') {
    const waitMs = durationMs(args.value('wait') ?? '24h', '--wait')
    return show(context, [await client.protectEnvironment(wanted, waitMs)])
  }
  await client.unprotectEnvironment(wanted)
  if (out.json) out.object({ unprotected: wanted })
  else out.note(`Rollouts in ${wanted} begin at once again.`)
  return 0
}

function show({ out, now }: Context, protections: readonly ProtectionBody[]): number {
  if (out.json) {
    out.object({ protections })
    return 0
  }
  const rows = protections.map(({ environment: name, waitMs, createdAt, createdBy }) => [
    name,
    ageText(waitMs),
    `${ageText(now - createdAt)} ago by ${printable(createdBy, false)}`,
  ])
  const header = ['ENVIRONMENT', 'WAITS AT MOST', 'PROTECTED']
  for (const line of tableLines(header, rows, out.width)) out.line(line)
  return 0
}
